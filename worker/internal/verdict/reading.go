package verdict

import "time"

// Reading is what an error of a Deliverer says, whoever made it: see worker.Failure.
type Reading struct {
	Permanent, Poison, Held, Unsent, Unknown, Doubtful, Refused, Trouble bool
	RetryAfter                                                           time.Duration
	Pauses, SafeText                                                     string
}

// Attempted reports whether a request was written, as far as is known.
func (r Reading) Attempted() bool { return !r.Unsent || r.Unknown || r.Doubtful }

// GenericText is the safe text of an error that brings none of its own: an unknown
// error's text may hold anything, so it stays inside.
const GenericText = "delivery failed"

// Read collects what an error and all that it wraps say, with a text for those that bring none, and with unsent overruled by
// what says otherwise.
func Read(err error) Reading {
	r := read(err)
	if r.SafeText == "" {
		r.SafeText = GenericText
	}
	r.Unsent = !r.Attempted()
	return r
}

// mostErrors bounds how many errors of one are read: it may wrap itself.
const mostErrors = 1000

// read collects what an error and all that it wraps say.
func read(err error) Reading {
	left := mostErrors
	return readTree(err, &left)
}

func readTree(err error, left *int) Reading {
	if err == nil || *left <= 0 {
		return Reading{}
	}
	*left--
	r := readOne(err)
	var wrapped []error
	safely(func() { wrapped = unwrap(err) })
	var inner Reading
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
func readOne(err error) (r Reading) {
	broken := false
	decides := func(answer *bool, ask func() bool) {
		if !safely(func() { *answer = ask() }) {
			broken = true
		}
	}
	decides(&r.Permanent, func() bool { e, ok := method[interface{ Permanent() bool }](err); return ok && e.Permanent() })
	decides(&r.Poison, func() bool { e, ok := method[interface{ Poison() bool }](err); return ok && e.Poison() })
	decides(&r.Held, func() bool { e, ok := method[interface{ Held() bool }](err); return ok && e.Held() })
	decides(&r.Unsent, func() bool { e, ok := method[interface{ Attempted() bool }](err); return ok && !e.Attempted() })
	decides(&r.Doubtful, func() bool {
		e, ok := method[interface{ DoubtfulOutcome() bool }](err)
		return ok && e.DoubtfulOutcome()
	})
	decides(&r.Unknown, func() bool { e, ok := method[interface{ UnknownOutcome() bool }](err); return ok && e.UnknownOutcome() })
	r.Unknown = r.Unknown || broken
	safely(func() {
		if e, ok := method[interface{ SourceRefused() bool }](err); ok {
			r.Refused = e.SourceRefused()
		}
	})
	safely(func() {
		if e, ok := method[interface{ Trouble() bool }](err); ok {
			r.Trouble = e.Trouble()
		}
	})
	safely(func() {
		if e, ok := method[interface{ RetryAfter() time.Duration }](err); ok {
			r.RetryAfter = max(0, e.RetryAfter())
		}
	})
	safely(func() {
		if e, ok := method[interface{ Pauses() string }](err); ok {
			r.Pauses = e.Pauses()
		}
	})
	safely(func() {
		if e, ok := method[interface{ SafeError() string }](err); ok {
			r.SafeText = e.SafeError()
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

// add collects what another Reading decides.
func (r *Reading) add(other Reading) {
	r.Permanent = r.Permanent || other.Permanent
	r.Poison = r.Poison || other.Poison
	r.Held = r.Held || other.Held
	r.Unsent = r.Unsent || other.Unsent
	r.Unknown = r.Unknown || other.Unknown
	r.Doubtful = r.Doubtful || other.Doubtful
	r.Refused = r.Refused || other.Refused
	r.Trouble = r.Trouble || other.Trouble
	r.RetryAfter = max(r.RetryAfter, other.RetryAfter)
	if r.Pauses == "" {
		r.Pauses = other.Pauses
	}
}

// wrap adds what the wrapped errors say.
func (r *Reading) wrap(inner Reading) {
	r.add(inner)
	if r.SafeText == "" {
		r.SafeText = inner.SafeText
	}
}

// join adds what an error beside it says. The text is that of the graver one.
func (r *Reading) join(other Reading) {
	if other.SafeText != "" && (r.SafeText == "" || other.gravity() > r.gravity()) {
		r.SafeText = other.SafeText
	}
	r.add(other)
}

// gravity orders readings by what they decide.
func (r Reading) gravity() int {
	switch {
	case r.Unknown || r.Doubtful:
		return 5
	case r.Poison:
		return 4
	case r.Held:
		return 3
	case r.Permanent:
		return 2
	case !r.Unsent:
		return 1
	}
	return 0
}

// Mark returns err with what set adds to what it says already; nil for no error.
func Mark(err error, set func(*Reading)) error {
	if err == nil {
		return nil
	}
	f := marked{err: err, says: read(err)}
	set(&f.says)
	return &f
}

// marked is an error that says what it wraps says, and one thing more. It has the methods of
// worker.Failure.
type marked struct {
	err  error
	says Reading
}

func (f *marked) Error() string             { return f.err.Error() }
func (f *marked) Unwrap() error             { return f.err }
func (f *marked) Permanent() bool           { return f.says.Permanent }
func (f *marked) Poison() bool              { return f.says.Poison }
func (f *marked) Held() bool                { return f.says.Held }
func (f *marked) Attempted() bool           { return f.says.Attempted() }
func (f *marked) UnknownOutcome() bool      { return f.says.Unknown }
func (f *marked) DoubtfulOutcome() bool     { return f.says.Doubtful }
func (f *marked) SourceRefused() bool       { return f.says.Refused }
func (f *marked) Trouble() bool             { return f.says.Trouble }
func (f *marked) RetryAfter() time.Duration { return f.says.RetryAfter }
func (f *marked) Pauses() string            { return f.says.Pauses }
func (f *marked) SafeError() string         { return f.says.SafeText }
