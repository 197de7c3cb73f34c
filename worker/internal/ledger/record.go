package ledger

import (
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Record is what the ledger remembers of a message that did not settle at its first
// delivery, shared by all workers. JetStream's own delivery count cannot serve: it also
// counts pauses, restarts and deliveries nobody handled.
type Record struct {
	// Attempts that ended and failed.
	Attempts int `json:"attempts,omitempty"`
	// Excused are those of them that were not the message's fault: a pause was probed, or what
	// the message depends on is paused by now.
	Excused int `json:"excused,omitempty"`
	// Age is how long the message was tried, in attempts that count and in the waits that these
	// asked for. What it waited for any other reason, a pause, a backlog or a worker, does not
	// make it older.
	Age time.Duration `json:"age,omitempty"`
	// Since is when such a wait began, which ends with Next; zero when it waits for another
	// reason.
	Since time.Time `json:"since,omitzero"`
	// Started counts the deliveries since the last attempt's end that began an attempt
	// and never came back: what a message that kills its worker leaves behind.
	Started int `json:"started,omitempty"`
	// Begun is when the last of them began, by the NATS server's clock.
	Begun time.Time `json:"begun,omitzero"`
	// Alone counts those of them in which the message was the only suspect.
	Alone int `json:"alone,omitempty"`
	// Intent is set before a message under hold is sent and cleared when its outcome is
	// known. Found at a delivery, it means a worker died in between.
	Intent bool `json:"intent,omitempty"`
	// Unknown is set once an attempt had an unknown outcome.
	Unknown bool `json:"unknown,omitempty"`
	// Ended is the delivery, by JetStream's count, whose end this record tells. A later
	// delivery that is not the next one means that somebody had the message in between
	// and left nothing behind: it may have been sent.
	Ended uint64 `json:"ended,omitempty"`
	// Next is when the message comes again; zero when it was handed back at once.
	Next time.Time `json:"next,omitzero"`
	// Settled is set when everything but the ack was done by a worker that had lost its
	// lease: whoever has the message next acknowledges it unsent.
	Settled outbox.Settlement `json:"settled,omitempty"`
	// Stored is when the queue stored the message. One that was made anew gives away its
	// sequences again, and with them the names of messages without an id.
	Stored time.Time `json:"stored,omitzero"`
	// Status and Error (safe text) of the last failed attempt, or of the settlement.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// lateness is how much later than asked for a message may come without that having a reason.
const lateness = 2 * time.Second

// AgeAt is the message's age when its next attempt begins.
func (r *Record) AgeAt(begin time.Time) time.Duration {
	if r.Since.IsZero() {
		return r.Age
	}
	return r.Age + max(0, min(begin.Sub(r.Since), r.Next.Sub(r.Since)+lateness))
}
