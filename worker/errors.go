package worker

import (
	"time"

	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// Causes for which the worker cancels an attempt's context; read them with [context.Cause].
var (
	// ErrLeaseLost is returned when the lease of a message could not be renewed in
	// time: the server may have given the message to another worker.
	ErrLeaseLost = lease.ErrLost
	// ErrDrainTimeout is returned when an attempt was still running at the end of
	// Config.DrainTimeout.
	ErrDrainTimeout = verdict.ErrDrainTimeout
	// ErrDeadline is returned when the deadline of a request passed during its attempt.
	ErrDeadline = verdict.ErrDeadline
	// ErrAttemptTimeout is returned when an attempt outlived Config.AttemptTimeout.
	ErrAttemptTimeout = lease.ErrAttemptTimeout
)

// Failure is what an error of a [Deliverer] can tell the worker. An error needs only the
// methods that apply, and need not come from this package. The worker looks for each method
// separately, in the error and in every error that it wraps or joins, and each result counts.
// False, zero and "", and true from Attempted, mean nothing: a wrapper can add to what it
// wraps, but cannot take anything back.
//
// If several apply, the first of these decides:
//
//  1. UnknownOutcome, and DoubtfulOutcome, where Source.Hold is true: settled held
//  2. Poison: settled poison
//  3. Held: settled held
//  4. Permanent: settled rejected
//  5. Attempted is false: the message waits, and nothing is counted. UnknownOutcome and
//     DoubtfulOutcome override it, since they mean that a request was written
//  6. none of them: the attempt counts, and the message is tried again
//
// A refusal with SourceRefused counts against the source instead of the message: the same refusal
// Config.BreakerAfter times in a row pauses the source, and its messages are tried again instead
// of being settled rejected.
//
// The longest RetryAfter counts. Pauses and SafeError are the outermost that are not empty;
// of joined errors, SafeError is that of the one that decides. A method that panics counts
// as absent. Unless it is one of the last five, the outcome is then unknown, as after a
// panic of the Deliverer.
type Failure interface {
	// Permanent: another attempt cannot help. The message is settled rejected.
	Permanent() bool
	// Poison: the message breaks the contract. It is settled poison.
	Poison() bool
	// Held: a person must decide. The message is settled held.
	Held() bool
	// Attempted is false when nothing was written: no attempt is counted.
	Attempted() bool
	// UnknownOutcome: the request was written and no answer came.
	UnknownOutcome() bool
	// DoubtfulOutcome: the far side failed and did not say whether it took the message.
	DoubtfulOutcome() bool
	// SourceRefused: whatever the source sent would have been refused, as with a Source ID that
	// the far side does not take. Where Attempted is false as well, it refused a new token.
	SourceRefused() bool
	// Trouble: the far side, or something on the way to it, is in trouble whatever the status of
	// the answer: it counts for destination, source and host as a 5xx does.
	Trouble() bool
	// RetryAfter is how long to wait at least before the next attempt.
	RetryAfter() time.Duration
	// Pauses is the scope to pause, one of Source.Scopes or of Source.MessageScopes.
	Pauses() string
	// SafeError is the text for replies, dead letters and logs. It must hold nothing of the
	// message's content.
	SafeError() string
}

// The verbs below are for errors that have no methods of [Failure]. Each adds to what the
// error says already.

// Permanent marks err as final: the message is settled [outbox.Rejected].
func Permanent(err error) error {
	return verdict.Mark(err, func(r *verdict.Reading) { r.Permanent = true })
}

// Poison marks err as a breach of the contract: the message is settled [outbox.Poison].
func Poison(err error) error { return verdict.Mark(err, func(r *verdict.Reading) { r.Poison = true }) }

// Held marks err as one that a person must decide on: the message is settled [outbox.Held].
func Held(err error) error { return verdict.Mark(err, func(r *verdict.Reading) { r.Held = true }) }

// RetryAfter asks for the next attempt no sooner than d. It never shortens the worker's own backoff
// or a delay that err asks for, and is capped at Retry.Max.
func RetryAfter(err error, d time.Duration) error {
	return verdict.Mark(err, func(r *verdict.Reading) { r.RetryAfter = max(r.RetryAfter, d) })
}

// NotAttempted says that nothing was sent: the message waits and no attempt is counted. scope names
// what to pause (one of Source.Scopes); "" leaves that to err. It does not override an unknown
// outcome.
func NotAttempted(err error, scope string) error {
	return verdict.Mark(err, func(r *verdict.Reading) {
		r.Unsent = true
		if scope != "" {
			r.Pauses = scope
		}
	})
}

// UnknownOutcome says that the request was sent and no answer came: the far side may
// have taken it.
func UnknownOutcome(err error) error {
	return verdict.Mark(err, func(r *verdict.Reading) { r.Unknown = true })
}

// WithSafeText sets the text that may leave the worker in replies, dead letters and
// logs; "" leaves that of err. It must hold nothing of the message's content.
func WithSafeText(err error, text string) error {
	return verdict.Mark(err, func(r *verdict.Reading) {
		if text != "" {
			r.SafeText = text
		}
	})
}
