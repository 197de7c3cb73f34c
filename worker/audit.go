package worker

import (
	"context"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Audit keeps one entry for each settlement. It is called before the ack: when it fails,
// the settlement is repeated until it succeeds, so that no message leaves the queue
// without its entry; after a crash the entry may come twice, with the same Message and
// Sequence. It may block for as long as ctx lasts, which is 2 s or a little more, and is called
// from many goroutines at once.
type Audit func(ctx context.Context, e AuditEntry) error

// AuditEntry is one settlement: what was decided and why, and nothing of the patient.
type AuditEntry struct {
	// Time of the decision.
	Time time.Time `json:"time"`
	// Worker that settled it; see [Config.ID].
	Worker     string            `json:"worker"`
	Message    string            `json:"message"`
	Source     string            `json:"source,omitempty"`
	Lane       outbox.Lane       `json:"lane,omitempty"`
	Kind       outbox.Kind       `json:"kind,omitempty"`
	Settlement outbox.Settlement `json:"settlement"`
	// Status is the HTTP status of the last answer; absent when none came.
	Status int `json:"status,omitempty"`
	// Attempts that count; Deliveries by JetStream, which also counts pauses and restarts.
	Attempts   int    `json:"attempts"`
	Deliveries uint64 `json:"deliveries"`
	// LogIDs are Redox's, to be given to its support.
	LogIDs []string `json:"log_ids,omitempty"`
	// Error is a safe text.
	Error string `json:"error,omitempty"`
	// PossibleDuplicate: Redox may have the message more than once, or although it was
	// not delivered.
	PossibleDuplicate bool `json:"possible_duplicate,omitempty"`
	// DeadLetter: the message is in the dead-letter stream. Answered: it named a reply subject.
	DeadLetter bool `json:"dead_letter,omitempty"`
	Answered   bool `json:"answered,omitempty"`
	// ReplayOf is the id of the message that this one is a replay of.
	ReplayOf string `json:"replay_of,omitempty"`
	// Stored and Sequence say when and where the queue stored the message.
	Stored   time.Time `json:"stored,omitzero"`
	Sequence uint64    `json:"sequence"`
	// AttemptSeconds is what the last attempt took, AgeSeconds the time since Stored.
	AttemptSeconds float64 `json:"attempt_seconds,omitempty"`
	AgeSeconds     float64 `json:"age_seconds"`
}

// entry of the settlement under way.
func (s *settlement) entry() AuditEntry {
	d, now := s.delivery, time.Now()
	v := &d.verdict
	return AuditEntry{
		Time: now.UTC(), Worker: s.worker.config.ID, Message: d.message.ID, Source: d.message.Source, Lane: d.message.Lane, Kind: d.message.Kind,
		Settlement: v.settlement, Status: v.answer.Status, Attempts: d.attempts(), Deliveries: d.delivered, LogIDs: v.answer.LogIDs, Error: v.err,
		PossibleDuplicate: d.possibleDuplicate(), DeadLetter: d.needsDeadLetter(), Answered: d.message.ReplyTo != "", ReplayOf: d.message.ReplayOf,
		Stored: d.message.Stored.UTC(), Sequence: d.message.Sequence, AttemptSeconds: d.took.Seconds(), AgeSeconds: now.Sub(d.message.Stored).Seconds(),
	}
}
