package chaos

import (
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Record is all that was seen of one run from the outside: what was published, what
// reached the far side, what was broken when, and what the streams hold at the end.
type Record struct {
	Published     []Published
	Requests      []Request
	Interruptions []Interruption
	Replies       []Reply
	Dead          []Dead
	Audit         []Audit
	// Queued is how many messages the work queue still holds.
	Queued uint64
	// Stored is how many messages the work queue ever took: its last sequence.
	Stored uint64
}

// String is one line of figures.
func (r Record) String() string {
	refused, again, errors := 0, 0, 0
	seen := map[string]bool{}
	for _, q := range r.Requests {
		switch {
		case q.refused():
			refused++
		case seen[q.ID]:
			again++
		}
		seen[q.ID] = seen[q.ID] || !q.refused()
	}
	for _, m := range r.Published {
		errors += m.Errors
	}
	return fmt.Sprintf("%d messages (%d failed publishes), %d requests (%d refused, %d duplicates), %d interruptions, %d dead letters, %d replies",
		len(r.Published), errors, len(r.Requests), refused, again, len(r.Interruptions), len(r.Dead), len(r.Replies))
}

// Published is one message as its publisher saw it. The order in a [Record] is the order
// of publication within a key.
type Published struct {
	ID string
	// Key is the order key; "" is unordered.
	Key string
	// Confirmed: the publisher has a receipt.
	Confirmed bool
	// Errors counts the calls that failed before the receipt, each repeated with the
	// same id.
	Errors int
	// ReplyTo is the durable reply subject; "" wants none.
	ReplyTo string
	// Hold: the message must not be sent again after an unknown outcome.
	Hold bool
	// Dies is the settlement of the dead letter it must end as; "" is delivered.
	Dies outbox.Settlement
}

// Request is one HTTP request for a message.
type Request struct {
	ID     string
	Worker string
	// Begin and Finish are ticks of one logical clock: two requests overlapped exactly if
	// each began before the other finished. Finish 0 has not finished.
	Begin, Finish uint64
	Start, End    time.Time
	// Left is when the worker began to send, as it says itself; zero when it does not. Stopped
	// right then, it sends when it goes on, and nobody can keep it from that.
	Left time.Time
	// Status answered; 0 when there was none.
	Status int
	// Accepted: the far side took the message, whatever became of the answer.
	Accepted bool
	// Broken: the far side broke the answer off on purpose, or never gave one.
	Broken bool
}

// refused reports an answer that says: not taken, try again.
func (r Request) refused() bool { return !r.Accepted && r.Status != 0 && !r.Broken }

// Fault is what is done to a part of the system.
type Fault string

// The faults.
const (
	Kill      Fault = "kill"      // SIGKILL, and started again
	Stop      Fault = "stop"      // SIGSTOP, and later SIGCONT
	Partition Fault = "partition" // cut off from the others, and later connected again
)

// Interruption is a fault as it happened.
type Interruption struct {
	Fault Fault
	// Target names a worker or a NATS server.
	Target string
	// NATS: the target is a NATS server, on which every worker depends.
	NATS bool
	// From when it struck to when the target was there again.
	From, To time.Time
}

// Reply is one stored reply.
type Reply struct {
	Subject, MessageID string
	Settlement         outbox.Settlement
	Status             int
	Body               string
}

// Audit is one entry of the audit trail.
type Audit struct {
	MessageID  string            `json:"message"`
	Settlement outbox.Settlement `json:"settlement"`
	// PossibleDuplicate: the far side may have it more than once.
	PossibleDuplicate bool `json:"possible_duplicate"`
}

// Dead is one stored dead letter.
type Dead struct {
	MessageID  string
	Settlement outbox.Settlement
	Error      string
	Attempts   int
	At         time.Time
}
