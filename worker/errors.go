package worker

import (
	"errors"
	"time"
)

// Causes with which the worker cancels an attempt's context; read them with
// [context.Cause].
var (
	// ErrLeaseLost is returned when the lease of a message could not be renewed in
	// time: the server may have given the message to another worker.
	ErrLeaseLost = errors.New("worker: the lease of the message could not be renewed within the ack wait; another worker may have it")
	// ErrDrainTimeout is returned when an attempt was still running at the end of
	// Config.DrainTimeout.
	ErrDrainTimeout = errors.New("worker: the drain timeout ended before the attempt did")
	// ErrDeadline is returned when the deadline of a request passed during its attempt.
	ErrDeadline = errors.New("worker: the deadline of the request passed during the attempt")
	// ErrAttemptTimeout is returned when an attempt outlived Config.AttemptTimeout.
	ErrAttemptTimeout = errors.New("worker: the attempt outlived the attempt timeout")
)

// The verbs below tell the worker what an error means. Any error that has a method of
// the same meaning is understood as well, so a Deliverer need not import this package:
//
//	Permanent() bool            settled rejected
//	Poison() bool               settled poison
//	Held() bool                 settled held: a person must decide
//	Attempted() bool            false: nothing was written, no attempt is counted
//	UnknownOutcome() bool       the request was written and no answer came
//	DoubtfulOutcome() bool      the far side failed and did not say whether it took the message
//	RetryAfter() time.Duration  wait at least this long before the next attempt
//	Pauses() string             the scope to pause, one of Source.Scopes
//	SafeError() string          the text for replies, dead letters and logs

// Permanent marks err as final: the message is settled [outbox.Rejected].
func Permanent(err error) error { return mark(err, func(f *failure) { f.permanent = true }) }

// Poison marks err as a breach of the contract: the message is settled [outbox.Poison].
func Poison(err error) error { return mark(err, func(f *failure) { f.poison = true }) }

// Held marks err as one that a person must decide on: settled [outbox.Held].
func Held(err error) error { return mark(err, func(f *failure) { f.held = true }) }

// RetryAfter asks for the next attempt no sooner than d. It only ever lengthens the
// worker's own backoff and is capped at Retry.Max.
func RetryAfter(err error, d time.Duration) error {
	return mark(err, func(f *failure) { f.retryAfter = d })
}

// NotAttempted says that nothing was sent. The message waits and no attempt is counted.
// scope names what to pause (one of Source.Scopes); "" pauses nothing.
func NotAttempted(err error, scope string) error {
	return mark(err, func(f *failure) { f.notAttempted, f.pauses = true, scope })
}

// UnknownOutcome says that the request was sent and no answer came: the far side may
// have taken it.
func UnknownOutcome(err error) error { return mark(err, func(f *failure) { f.unknown = true }) }

// WithSafeText sets the text that may leave the worker in replies, dead letters and
// logs. It must hold nothing of the message's content.
func WithSafeText(err error, text string) error {
	return mark(err, func(f *failure) { f.safe = text })
}

func mark(err error, set func(*failure)) error {
	if err == nil {
		return nil
	}
	f := failure{err: err}
	if prev, ok := err.(*failure); ok {
		f = *prev
	}
	set(&f)
	return &f
}

// failure is an error with verbs. Errors without any are temporary and attempted.
type failure struct {
	err                                            error
	permanent, poison, held, notAttempted, unknown bool
	retryAfter                                     time.Duration
	pauses, safe                                   string
}

func (f *failure) Error() string             { return f.err.Error() }
func (f *failure) Unwrap() error             { return f.err }
func (f *failure) Permanent() bool           { return f.permanent }
func (f *failure) Poison() bool              { return f.poison }
func (f *failure) Held() bool                { return f.held }
func (f *failure) Attempted() bool           { return !f.notAttempted }
func (f *failure) UnknownOutcome() bool      { return f.unknown }
func (f *failure) RetryAfter() time.Duration { return f.retryAfter }
func (f *failure) Pauses() string            { return f.pauses }
func (f *failure) SafeError() string         { return f.safe }

// reading is what the worker reads out of an error, whoever made it.
type reading struct {
	permanent, poison, held, attempted, unknown, doubtful bool
	retryAfter                                            time.Duration
	pauses, safe                                          string
}

// genericFailure is the safe text of an error that brings none of its own: an unknown
// error's text may hold anything, so it stays inside.
const genericFailure = "delivery failed"

func readError(err error) reading {
	r := reading{attempted: true}
	r.permanent = says(err, func(e interface{ Permanent() bool }) bool { return e.Permanent() })
	r.poison = says(err, func(e interface{ Poison() bool }) bool { return e.Poison() })
	r.held = says(err, func(e interface{ Held() bool }) bool { return e.Held() })
	r.unknown = says(err, func(e interface{ UnknownOutcome() bool }) bool { return e.UnknownOutcome() })
	r.doubtful = says(err, func(e interface{ DoubtfulOutcome() bool }) bool { return e.DoubtfulOutcome() })
	r.attempted = !says(err, func(e interface{ Attempted() bool }) bool { return !e.Attempted() })
	var after interface{ RetryAfter() time.Duration }
	if errors.As(err, &after) {
		r.retryAfter = max(0, after.RetryAfter())
	}
	var pauses interface{ Pauses() string }
	if errors.As(err, &pauses) {
		r.pauses = pauses.Pauses()
	}
	r.safe = safeText(err)
	return r
}

// says asks the first error of the chain that knows the verb.
func says[T any](err error, ask func(T) bool) bool {
	var e T
	return errors.As(err, &e) && ask(e)
}

func safeText(err error) string {
	var safe interface{ SafeError() string }
	if errors.As(err, &safe) {
		if text := safe.SafeError(); text != "" {
			return text
		}
	}
	return genericFailure
}
