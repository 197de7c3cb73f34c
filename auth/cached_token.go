package auth

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

// The renewal window, as parts of a token's lifetime. A 5-minute token is renewed between 3:45 and
// 4:30, a 24-hour one between 18:00 and 21:36: at most a third more requests than without early
// renewal, and at least a tenth of the lifetime to survive an outage. The point in the window is
// random, so that processes that started together do not renew together.
const (
	renewFrom = 0.75
	renewTo   = 0.90
)

// maxEarly is the longest time before its end that a token is held to be stale:
// a request that carries it is still on its way when the server looks at it.
const maxEarly = 10 * time.Second

// cachedToken is a token in use, with the instants at which its treatment changes. It
// is immutable.
type cachedToken struct {
	token   Token
	renewAt time.Time // from here on a renewal is due; the token still serves
	staleAt time.Time // from here on it serves only when there is no other
	suspect bool      // a token of the same age was refused
}

// newCachedToken checks what a Minter made. now is when it arrived.
func newCachedToken(t Token, begun, now time.Time) (*cachedToken, error) {
	if t.IssuedAt.IsZero() {
		t.IssuedAt = begun
	}
	if t.Expires.IsZero() {
		t.Expires = t.IssuedAt.Add(answer.DefaultLifetime)
	}
	if err := answer.CheckBearer(t.Value()); err != nil {
		return nil, errors.New("auth: the minted token is unusable: " + err.Error())
	}
	if !now.Before(t.Expires) {
		return nil, errors.New("auth: the minted token has ended already: check this host's clock")
	}
	life := t.Lifetime()
	part := renewFrom + rand.Float64()*(renewTo-renewFrom)
	renewAt := t.IssuedAt.Add(time.Duration(float64(life) * part))
	return &cachedToken{
		token: t,
		// A request that took most of the lifetime must not be followed by
		// another one at once.
		renewAt: later(renewAt, now.Add(life/10)),
		staleAt: t.Expires.Add(-min(maxEarly, life/10)),
	}, nil
}

// fresh reports whether the token serves and no renewal is due.
func (l *cachedToken) fresh(now time.Time) bool {
	return l != nil && now.Before(l.renewAt) && now.Before(l.staleAt)
}

// good reports whether the token serves.
func (l *cachedToken) good(now time.Time) bool { return l != nil && now.Before(l.staleAt) }

// alive reports whether the token has not ended: it serves when no other does.
func (l *cachedToken) alive(now time.Time) bool { return l != nil && now.Before(l.token.Expires) }

// doubted returns the cached token as one that is replaced as soon as possible.
func (l *cachedToken) doubted(now time.Time) *cachedToken {
	return &cachedToken{token: l.token, renewAt: now, staleAt: now, suspect: true}
}

// due returns the cached token as one whose renewal is due.
func (l *cachedToken) due(now time.Time) *cachedToken {
	again := *l
	again.renewAt = now
	return &again
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
