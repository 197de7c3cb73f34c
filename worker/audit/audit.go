// Package audit keeps the audit trail: one [Entry] for each settlement and one [Deed] for all that
// an operator does, followed by another with its [Outcome], in a file, in a JetStream stream, or
// wherever a [Sink] puts it. A [Reader] reads that of the stream.
package audit

import (
	"context"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Sink keeps one entry for each settlement. A worker calls it before the ack: when it fails,
// the settlement is repeated until it succeeds, so that no message leaves the queue
// without its entry; after a crash the entry may come twice, with the same Message and
// Sequence. It may block for as long as ctx lasts, which is 2 s or a little more, and is called
// from many goroutines at once.
type Sink func(ctx context.Context, e Entry) error

// Entry is one settlement: what was decided and why, and nothing of the patient.
type Entry struct {
	// Time of the decision.
	Time time.Time `json:"time"`
	// Worker that settled it, as the ID of its Config names it.
	Worker     string            `json:"worker"`
	Message    string            `json:"message"`
	Source     string            `json:"source,omitempty"`
	Lane       contract.Lane     `json:"lane,omitempty"`
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
