package operate

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// State is where a message is.
type State string

// Where a message can be.
const (
	Queued       State = "queued"                // stored; no worker has it
	BehindHead   State = "behind a head"         // ordered, and another is before it
	PausedState  State = "paused"                // its source, or all, are paused
	Waiting      State = "waiting for retry"     // an attempt failed; it comes again
	InFlight     State = "in flight"             // a worker has it
	Replied      State = "delivered, reply kept" // Redox took it, and its reply can be read
	Delivered    State = "delivered"             // Redox took it
	Held         State = "held"                  // a person must decide: a dead letter
	DeadLettered State = "dead-lettered"         // not delivered: a dead letter
	Replayed     State = "replayed"              // sent again, and settled
	Discarded    State = "discarded"             // an operator deleted its dead letter
	MovedAway    State = "moved"                 // an operator moved it to another subject of the queue
	Unknown      State = "unknown"               // nothing is known of it any more
)

// FindOptions say where to look. The zero value works.
type FindOptions struct {
	// Source of the message. Without one all are looked through.
	Source string
	// Scan bounds how many messages of the work queue, and how many replies, are looked at for it: they are in no order
	// of their ids. 0 means 2,000, -1 no bound, also for the dead letters behind one that was found.
	Scan int
	// Explain adds to the error of what could not be learnt what the caller knows of it. nil means
	// nothing.
	Explain func(error) error
}

const defaultScan = 2000

// Finding is what is known of a message.
type Finding struct {
	ID string `json:"id"`
	// Places are where it is, one for each source that has a message of this id.
	Places []Place `json:"places"`
	// Unlearned says what could not be found out, and why.
	Unlearned []string `json:"unlearned,omitempty"`
}

// Place is where one message is, and what happened to it.
type Place struct {
	Source string        `json:"source,omitempty"`
	State  State         `json:"state"`
	Lane   contract.Lane `json:"lane,omitempty"`
	// Now is the id of what is there: that of a replay, where the message was sent again.
	Now string `json:"now,omitempty"`
	// Sequence in the work queue, DeadSequence in the dead-letter stream; 0 where it is not.
	Sequence     uint64 `json:"sequence,omitempty"`
	DeadSequence uint64 `json:"dead_sequence,omitempty"`
	// Behind is the id of the head that it waits for.
	Behind string `json:"behind,omitempty"`
	// Attempts that failed, Status and Error (safe text) of the last, Next when it is tried again.
	Attempts   int               `json:"attempts,omitempty"`
	Status     int               `json:"status,omitempty"`
	Error      string            `json:"error,omitempty"`
	Next       time.Time         `json:"next,omitzero"`
	Settlement outbox.Settlement `json:"settlement,omitempty"`
	LogIDs     []string          `json:"log_ids,omitempty"`
	// Reply is the subject of its durable reply.
	Reply string `json:"reply,omitempty"`
	// Why says in a line what it waits for, or what is to be done.
	Why string `json:"why,omitempty"`
	// Timeline is what is known to have happened, oldest first.
	Timeline []Moment `json:"timeline,omitempty"`

	rank int // of the state: what is nearer to the message's end is known before
}

// Moment is one thing that happened to a message.
type Moment struct {
	At   time.Time `json:"at,omitzero"`
	What string    `json:"what"`
}

// finding is a search under way.
type finding struct {
	js      jetstream.JetStream
	prefix  contract.Prefix
	letters *dlq.Store
	id      string
	options FindOptions
	since   time.Time         // when the message can have been stored at the earliest; zero when nobody knows
	numbers map[string]uint64 // its sequence in the work queue, by source, as far as it is known; "" is any

	places    map[string]*Place          // by source
	deeds     map[string]map[string]bool // sources that have the message, by deed
	unlearned []string
}

// Find says where the message with an id is, and its replays, and what happened to it. What it cannot
// learn, for want of a right, say, it names and goes on. It changes nothing and reads no bodies but those
// that come with messages of the work queue: of these it looks at no more than Scan, from the time on
// that an id made by outbox.NewID tells, else from the oldest; of dead letters and replies it reads the
// headers, from that time on, or those of the source.
func Find(ctx context.Context, js jetstream.JetStream, p contract.Prefix, id string, o FindOptions) (Finding, error) {
	if o.Source != "" {
		if err := contract.CheckSource(o.Source); err != nil {
			return Finding{}, err
		}
	}
	letters, err := dlq.New(js, dlq.Config{Prefix: p})
	if err != nil {
		return Finding{}, err
	}
	o.Scan = cmp.Or(o.Scan, defaultScan)
	f := &finding{js: js, prefix: p, letters: letters, id: id, options: o, since: madeAt(id), places: map[string]*Place{}, deeds: map[string]map[string]bool{}, numbers: map[string]uint64{}}
	for _, part := range []struct {
		what string
		look func(context.Context) error
	}{
		{"the audit trail", f.audit}, {theQueue, f.queue}, {theLetters, f.dead}, {"the replies", f.replies}, {"the replays", f.replays},
	} {
		if err := part.look(ctx); err != nil {
			if ctx.Err() != nil {
				return Finding{}, context.Cause(ctx)
			}
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				err = errMissing
			} else if o.Explain != nil {
				err = o.Explain(err)
			}
			f.unlearned = append(f.unlearned, fmt.Sprintf("%s: %v", part.what, err))
		}
	}
	return f.result(), nil
}

func (f *finding) result() Finding {
	r := Finding{ID: f.id, Unlearned: f.unlearned, Places: []Place{}}
	for _, p := range f.places {
		if p.State == MovedAway {
			p.Why += f.sinceMoved()
		}
		slices.SortStableFunc(p.Timeline, func(a, b Moment) int { return a.At.Compare(b.At) })
		r.Places = append(r.Places, *p)
	}
	slices.SortFunc(r.Places, func(a, b Place) int { return strings.Compare(a.Source, b.Source) })
	return r
}

// sinceMoved says what is known of a message that was moved away; "" where nobody looked.
func (f *finding) sinceMoved() string {
	var known *Place
	for _, source := range slices.Sorted(maps.Keys(f.places)) {
		if p := f.places[source]; p.State != MovedAway && p.State != Unknown && (known == nil || p.rank > known.rank) {
			known = p
		}
	}
	if known != nil {
		return "; see " + known.Source
	}
	if f.options.Source != "" || slices.ContainsFunc(f.unlearned, func(text string) bool {
		return strings.HasPrefix(text, theQueue) || strings.HasPrefix(text, theLetters)
	}) {
		return ""
	}
	return "; it is there no more: it may have been delivered, and its reply not kept"
}

// The ranks of what tells of a message's state: what stands now counts more than what was.
const (
	rankAudit = iota + 1
	rankReply
	rankNote
	rankLetter
	rankQueue
)

// place is that of a source, for whatever was found out about it.
func (f *finding) place(source string) *Place {
	p := f.places[source]
	if p == nil {
		p = &Place{Source: source, State: Unknown}
		f.places[source] = p
	}
	return p
}

// is sets the state, unless it is known better.
func (p *Place) is(rank int, s State, why string) bool {
	if rank < p.rank {
		return false
	}
	p.rank, p.State, p.Why = rank, s, why
	return true
}

func (p *Place) note(at time.Time, format string, args ...any) {
	p.Timeline = append(p.Timeline, Moment{At: at.UTC(), What: fmt.Sprintf(format, args...)})
}

// mine reports whether a message id is that of the message, or of one of its replays.
func (f *finding) mine(id, replayOf string) bool { return id == f.id || replayOf == f.id }

// early is how much before its id says a message may seem stored: clocks differ.
const early = 10 * time.Minute

// madeAt is the time in an id made by outbox.NewID, less what clocks may differ; zero for any other.
func madeAt(id string) time.Time {
	digits := strings.ReplaceAll(id, "-", "")
	raw, err := hex.DecodeString(digits)
	if err != nil || len(id) != 36 || len(raw) != 16 || raw[6]>>4 != 7 {
		return time.Time{}
	}
	var ms int64
	for _, b := range raw[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).Add(-early)
}

// sources that are known to have a message of the id.
func (f *finding) sources() []string {
	if f.options.Source != "" {
		return []string{f.options.Source}
	}
	var all []string
	for source := range f.places {
		if source != "" {
			all = append(all, source)
		}
	}
	slices.Sort(all)
	return all
}

const theQueue, theLetters = "the work queue", "the dead letters"

var (
	errNotLooked = errors.New("not looked at")
	errMissing   = errors.New("the stream does not exist: run `redoxworker provision`")
)
