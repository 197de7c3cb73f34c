package worker

import (
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// EventKind says what happened.
type EventKind string

// The events of a worker.
const (
	// EventAttempt: an attempt starts.
	EventAttempt EventKind = "attempt"
	// EventRetry: an attempt failed and the message will be tried again after Delay.
	EventRetry EventKind = "retry"
	// EventWait: nothing was sent and no attempt counted; the message waits for Delay.
	EventWait EventKind = "wait"
	// EventSettled: the message has its settlement and the server confirmed the ack.
	EventSettled EventKind = "settled"
	// EventAbandoned: the lease was lost; whoever has the message now settles it.
	EventAbandoned EventKind = "abandoned"
	// EventPaused: a scope was paused for Delay, or paused again after a failed probe.
	EventPaused EventKind = "paused"
	// EventResumed: a scope is open again.
	EventResumed EventKind = "resumed"
)

// Event is one thing that happened to a message or a pause scope. It holds no patient
// data. Fields that do not apply are zero.
type Event struct {
	Kind   EventKind
	Source string
	// MessageKind of the message; never empty where there is one.
	MessageKind outbox.Kind
	Lane        contract.Lane
	MessageID   string
	Sequence    uint64 // stream sequence in REDOX_OUT
	Attempt     int    // counted attempts so far, this one included
	// Delivered counts the deliveries by JetStream, the first one included.
	Delivered  uint64
	Settlement outbox.Settlement
	Status     int // status of the far side's answer; 0 if none
	LogIDs     []string
	Delay      time.Duration
	Duration   time.Duration // of the attempt; of a settled message since it was stored
	// Scope is that of the pause, as [Paused] has it, and Operator says that a person made it.
	Scope    string
	Operator bool
	// Probes counts the failed probes of a paused scope; 0 when its pause begins.
	Probes int
	// Error is a safe text: why an attempt failed, or why a scope was paused.
	Error string
	// Refused says that the scope is a source, or a destination of one, that the far side refuses:
	// somebody has to act.
	Refused bool
	// PossibleDuplicate says that this or an earlier attempt had an unknown outcome: the far side
	// may have the message more than once.
	PossibleDuplicate bool
	// DeadLettered says that the settled message was written to REDOX_DLQ. A REQUEST whose caller
	// was told is not, unless it is poison.
	DeadLettered bool
}
