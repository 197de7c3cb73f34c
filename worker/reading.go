package worker

import "time"

// reading is what the worker reads out of an error, whoever made it: see [Failure].
type reading struct {
	permanent, poison, held, unsent, unknown, doubtful, refused, trouble bool
	retryAfter                                                           time.Duration
	pauses, safe                                                         string
}

// attempted reports whether a request was written, as far as is known.
func (r reading) attempted() bool { return !r.unsent || r.unknown || r.doubtful }

// genericFailure is the safe text of an error that brings none of its own: an unknown
// error's text may hold anything, so it stays inside.
const genericFailure = "delivery failed"

// readError is read with a text for those that bring none, and with unsent overruled by
// what says otherwise.
func readError(err error) reading {
	r := read(err)
	if r.safe == "" {
		r.safe = genericFailure
	}
	r.unsent = !r.attempted()
	return r
}

// mostErrors bounds how many errors of one are read: it may wrap itself.
const mostErrors = 1000

// read collects what an error and all that it wraps say.
func read(err error) reading {
	left := mostErrors
	return readTree(err, &left)
}

func readTree(err error, left *int) reading {
	if err == nil || *left <= 0 {
		return reading{}
	}
	*left--
	r := readOne(err)
	var wrapped []error
	safely(func() { wrapped = unwrap(err) })
	var inner reading
	for _, e := range wrapped {
		inner.join(readTree(e, left))
	}
	r.wrap(inner)
	return r
}

// unwrap answers what an error wraps, the way package errors does.
func unwrap(err error) []error {
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}

// readOne asks one error alone.
func readOne(err error) (r reading) {
	broken := false
	decides := func(answer *bool, ask func() bool) {
		if !safely(func() { *answer = ask() }) {
			broken = true
		}
	}
	decides(&r.permanent, func() bool { e, ok := method[interface{ Permanent() bool }](err); return ok && e.Permanent() })
	decides(&r.poison, func() bool { e, ok := method[interface{ Poison() bool }](err); return ok && e.Poison() })
	decides(&r.held, func() bool { e, ok := method[interface{ Held() bool }](err); return ok && e.Held() })
	decides(&r.unsent, func() bool { e, ok := method[interface{ Attempted() bool }](err); return ok && !e.Attempted() })
	decides(&r.doubtful, func() bool {
		e, ok := method[interface{ DoubtfulOutcome() bool }](err)
		return ok && e.DoubtfulOutcome()
	})
	decides(&r.unknown, func() bool { e, ok := method[interface{ UnknownOutcome() bool }](err); return ok && e.UnknownOutcome() })
	r.unknown = r.unknown || broken
	safely(func() {
		if e, ok := method[interface{ SourceRefused() bool }](err); ok {
			r.refused = e.SourceRefused()
		}
	})
	safely(func() {
		if e, ok := method[interface{ Trouble() bool }](err); ok {
			r.trouble = e.Trouble()
		}
	})
	safely(func() {
		if e, ok := method[interface{ RetryAfter() time.Duration }](err); ok {
			r.retryAfter = max(0, e.RetryAfter())
		}
	})
	safely(func() {
		if e, ok := method[interface{ Pauses() string }](err); ok {
			r.pauses = e.Pauses()
		}
	})
	safely(func() {
		if e, ok := method[interface{ SafeError() string }](err); ok {
			r.safe = e.SafeError()
		}
	})
	return r
}

// method finds a method of one error, or of what it says it is.
func method[T any](err error) (e T, ok bool) {
	if e, ok = err.(T); ok {
		return e, true
	}
	if as, can := err.(interface{ As(any) bool }); can {
		ok = as.As(&e)
	}
	return e, ok
}

// safely reports whether f returned: the methods of an error are not this package's, and
// one that is a nil pointer may panic in each of them.
func safely(f func()) (returned bool) {
	defer func() {
		if !returned {
			_ = recover()
		}
	}()
	f()
	return true
}

// add collects what another reading decides.
func (r *reading) add(other reading) {
	r.permanent = r.permanent || other.permanent
	r.poison = r.poison || other.poison
	r.held = r.held || other.held
	r.unsent = r.unsent || other.unsent
	r.unknown = r.unknown || other.unknown
	r.doubtful = r.doubtful || other.doubtful
	r.refused = r.refused || other.refused
	r.trouble = r.trouble || other.trouble
	r.retryAfter = max(r.retryAfter, other.retryAfter)
	if r.pauses == "" {
		r.pauses = other.pauses
	}
}

// wrap adds what the wrapped errors say.
func (r *reading) wrap(inner reading) {
	r.add(inner)
	if r.safe == "" {
		r.safe = inner.safe
	}
}

// join adds what an error beside it says. The text is that of the graver one.
func (r *reading) join(other reading) {
	if other.safe != "" && (r.safe == "" || other.gravity() > r.gravity()) {
		r.safe = other.safe
	}
	r.add(other)
}

// gravity orders readings by what they decide.
func (r reading) gravity() int {
	switch {
	case r.unknown || r.doubtful:
		return 5
	case r.poison:
		return 4
	case r.held:
		return 3
	case r.permanent:
		return 2
	case !r.unsent:
		return 1
	}
	return 0
}
