package audit

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Action is what an operator does.
type Action string

// What operators do, as the audit trail calls it.
const (
	Replay       Action = "replay"
	Discard      Action = "discard"
	Reveal       Action = "reveal" // bodies and headers were shown: patient data
	Edit         Action = "edit"   // sent again with another body
	Export       Action = "export"
	Import       Action = "import"
	Pause        Action = "pause"
	Resume       Action = "resume"
	Hold         Action = "hold"
	Release      Action = "release"
	Move         Action = "move"        // messages astray, to a subject that workers read
	DeadLetter   Action = "dead-letter" // messages astray
	SourceAdd    Action = "source.add"
	SourceSet    Action = "source.set"
	SourceRemove Action = "source.rm"
	RowRetry     Action = "outbox.retry"   // rows of the SQL outbox that could not be published go back into it
	RowDiscard   Action = "outbox.discard" // such rows are deleted
	SealRotate   Action = "seal.rotate"    // a key was added to the ring
	SealRewrap   Action = "seal.rewrap"    // dead letters are opened by another key
	SealShred    Action = "seal.shred"     // a key was removed, and with it what it sealed
)

// Actions are all that there are.
func Actions() []Action {
	return []Action{Replay, Discard, Reveal, Edit, Export, Import, Pause, Resume, Hold, Release, Move, DeadLetter, SourceAdd, SourceSet, SourceRemove, RowRetry, RowDiscard, SealRotate, SealRewrap, SealShred}
}

// Deed is what an operator does: who, when, what and why. It holds no body and no order key. Reason,
// Filter and Detail may hold what an operator has typed, and IDs are as the applications chose them:
// nothing of a patient is in them as long as nobody puts it there. It is written before the deed, and
// followed by a second entry with the same ID and an Outcome when it has ended: where that is
// missing, the deed is under way, or whoever did it was killed.
type Deed struct {
	// ID of the deed, a UUID that grows with time.
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	// By is who does it: user@host, or how a console calls its user.
	By     string `json:"by"`
	Action Action `json:"action"`
	// Source whose messages it concerns; empty for several or all.
	Source string `json:"source,omitempty"`
	// Count of the messages, where it is about messages.
	Count int `json:"count,omitempty"`
	// IDs of the messages, by source; [contract.NoSource] is that of those that have none. Those of a
	// large deed do not fit in one entry: then so many Parts stand before it, with the same ID, Reason,
	// Filter and Detail, a Part from 1 on, the ids, and no Count.
	IDs   map[string][]string `json:"ids,omitempty"`
	Parts int                 `json:"parts,omitempty"`
	Part  int                 `json:"part,omitempty"`
	// Filter says how the messages were selected, as the flags of the command do.
	Filter string `json:"filter,omitempty"`
	// Detail is what else there is to say of it: the length of a pause, an order token.
	Detail string `json:"detail,omitempty"`
	// Before and After are settings of a source.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Reason is what the operator gave as such.
	Reason string `json:"reason,omitempty"`
	// Outcome is how the deed ended. An entry that has it has ID, By, Action, Source and Detail of the
	// deed, the Time of its end, and beside it no more than Counts, Error, and the IDs that became known
	// while it was done.
	Outcome Outcome `json:"outcome,omitempty"`
	// Counts says how many messages came to which outcome.
	Counts map[string]int `json:"counts,omitempty"`
	// Error says in a safe line why it ended before its end.
	Error string `json:"error,omitempty"`
}

// DeedSink keeps what an operator is about to do. It is called before the deed and returns when the
// entry is stored. After an error the deed is not done.
type DeedSink func(ctx context.Context, d Deed) error

// ErrNotKept is returned when an entry could not be written: the deed was not done.
var ErrNotKept = errors.New("it was not done: its entry in the audit trail could not be written")

// ErrOutcomeNotKept is returned when a deed was done, or begun, and the entry of its outcome could not be
// written.
var ErrOutcomeNotKept = errors.New("it was done as far as is said here; the entry of its outcome in the audit trail could not be written")

// partBytes bounds the ids in one entry, in bytes: NATS takes messages of 1 MB by default.
const partBytes = 512 << 10

// split returns the entries of a deed: itself, or, where its ids are more than half a megabyte,
// the parts that have them, followed by itself without them. The last to be written is itself: when
// it is there, all of them are.
func (d Deed) split() []Deed {
	var parts []Deed
	ids, size := map[string][]string{}, 0
	end := func() {
		part := d
		part.Count, part.IDs, part.Part = 0, ids, len(parts)+1
		parts = append(parts, part)
		ids, size = map[string][]string{}, 0
	}
	for _, source := range slices.Sorted(maps.Keys(d.IDs)) {
		for _, id := range d.IDs[source] {
			text, _ := json.Marshal(id) // a string always can be; some characters take six bytes
			more := len(text) + len(source) + 8
			if size+more > partBytes && size > 0 {
				end()
			}
			ids[source], size = append(ids[source], id), size+more
		}
	}
	if len(parts) == 0 {
		return []Deed{d}
	}
	end()
	d.IDs, d.Parts = nil, len(parts)
	return append(parts, d)
}

// Sinks joins sinks: all of them must keep an entry.
func Sinks(all ...DeedSink) DeedSink {
	return func(ctx context.Context, d Deed) error {
		for _, keep := range all {
			if err := keep(ctx, d); err != nil {
				return err
			}
		}
		return nil
	}
}

// maxLine bounds the texts of an entry, in bytes.
const maxLine = 2048

// line makes one bounded line of printable text.
func line(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s))
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "")
	}
	return s
}
