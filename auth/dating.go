package auth

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// dating is what assertions are dated by: the local clock, less how far it counts as
// ahead. That is nothing until a server has refused the local time and taken its own, and
// it is trusted only as long as it works: of a Date that is wrong (a proxy's, say) nothing
// is left after the request that did not get a token with it. The zero value is ready to
// use. Safe for concurrent use.
type dating struct {
	ahead atomic.Int64 // nanoseconds, positive: the local clock is ahead
}

// get returns how far the local clock counts as ahead.
func (d *dating) get() time.Duration { return time.Duration(d.ahead.Load()) }

// dated compares an assertion with the answer to it.
type dated struct {
	iat   time.Time     // of the assertion
	date  time.Time     // of the answer, whole seconds; zero when it had none
	trip  time.Duration // from the request to the answer
	ended time.Time     // when the answer came, by the local clock
}

// of completes what is known about an assertion with its answer.
func (d dated) of(a reply) dated {
	d.date, d.trip, d.ended = a.date, a.ended.Sub(a.begun), a.ended.Round(0)
	return d
}

// off reports whether a time was certainly not the server's when it answered: in its
// future, or older than the request.
func (d dated) off(at time.Time) bool {
	if d.date.IsZero() {
		return false
	}
	return at.Unix() > d.date.Unix() || d.date.Sub(at) > d.trip+2*time.Second
}

// ahead returns how far the local clock is ahead at most: dated by it, an assertion is never
// in the server's future, and seldom more than a round trip in its past.
func (d dated) ahead() time.Duration { return d.ended.Sub(d.date) }

// again returns what a second request is dated by after the first was refused, and false
// when none is worth it: after a replay the same as before; where the first was off, the
// server's own time; where the server refuses that as well, the local clock, for either
// may have been set since; and the same as before after a refusal without a word, as Redox
// gives it for a replay and for some claims.
func again(used time.Duration, asked dated, err error) (time.Duration, bool) {
	e, ok := errors.AsType[*TokenError](err)
	switch {
	case !ok:
		return 0, false
	case e.replayed():
		return used, true
	case !e.clockRefused():
		return 0, false
	case asked.off(asked.iat):
		return asked.ahead(), true
	case used != 0:
		return 0, true
	}
	return 0, e.blank()
}

// took remembers what got a token. A clock that is right again is used again.
func (o *OAuth) took(ctx context.Context, used time.Duration, d dated) {
	if used != 0 && !d.date.IsZero() && !d.off(d.iat.Add(used)) {
		used = 0
	}
	before := time.Duration(o.dating.ahead.Swap(int64(used)))
	switch {
	case used != 0 && (used-before).Abs() > skewWarn:
		o.logger.InfoContext(ctx, "assertions are dated by the token endpoint's clock, for it refused this host's", "key", o.name, "skew", used)
	case used == 0 && before != 0:
		o.logger.InfoContext(ctx, "assertions are dated by this host's clock again", "key", o.name)
	}
}

// clockRefused reports whether the refusal may be one of the assertion's times. Redox
// leaves it blank or names the claim, SMART servers say invalid_client, others what they
// like.
func (e *TokenError) clockRefused() bool {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}
