package dlq

import (
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Outcome is what became of one dead letter in a replay or discard.
type Outcome string

const (
	// Replayed: its message is in the work queue again, and the dead letter is deleted.
	Replayed Outcome = "replayed"
	// AlreadyReplayed: another run, which was killed or is at work at the same time, has published
	// its message; the dead letter is deleted.
	AlreadyReplayed Outcome = "already replayed"
	// Discarded: it is deleted for good.
	Discarded Outcome = "discarded"
	// Gone: it was replayed or discarded since it was selected.
	Gone Outcome = "gone"
	// Refused: it cannot be sent again; it stays.
	Refused Outcome = "refused"
	// Late: its deadline has passed, and was to be kept; it stays.
	Late Outcome = "late"
	// Behind: earlier dead letters hold its order token; it stays.
	Behind Outcome = "behind"
	// Busy: another run is doing something else with it; it stays.
	Busy Outcome = "busy"
)

// Removed reports whether the dead letter is gone.
func (o Outcome) Removed() bool {
	switch o {
	case Replayed, AlreadyReplayed, Discarded, Gone:
		return true
	}
	return false
}

// Handled is what became of one dead letter.
type Handled struct {
	// MessageID, Source and Settlement are those of the dead letter; empty for Gone.
	MessageID  string            `json:"id,omitempty"`
	Source     string            `json:"source,omitempty"`
	Settlement outbox.Settlement `json:"settlement,omitempty"`
	// DeadSequence is its place in the dead-letter stream.
	DeadSequence uint64  `json:"dead_sequence"`
	Outcome      Outcome `json:"outcome"`
	// Reason says why it stays: one safe text.
	Reason string `json:"reason,omitempty"`
	// ReplayID and Sequence are those of its new message in the work queue. Sequence is 0
	// in a dry run, and for AlreadyReplayed if it is no longer known.
	ReplayID string `json:"replay_id,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	// DeadlineDropped says that its deadline had passed and was left out.
	DeadlineDropped bool `json:"deadline_dropped,omitempty"`
}

func (l Stored) handled(o Outcome, reason error) Handled {
	h := Handled{MessageID: l.MessageID, Source: l.Source, Settlement: l.Settlement, DeadSequence: l.DeadSequence, Outcome: o}
	if reason != nil {
		h.Reason = wire.Line(reason.Error())
	}
	return h
}
