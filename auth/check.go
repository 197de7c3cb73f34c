package auth

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// KeyCheck is what trying one key showed. It holds no secret.
type KeyCheck struct {
	// Role is "current", "next" or "legacy".
	Role string `json:"role"`
	// KeyID and Algorithm are the key's, "" for a legacy key.
	KeyID     string    `json:"kid,omitempty"`
	Algorithm Algorithm `json:"algorithm,omitempty"`
	// Lifetime is that of the token, in nanoseconds; 0 without one.
	Lifetime time.Duration `json:"lifetime_ns"`
	// Expires is the end of that token, by the local clock; zero without one.
	Expires time.Time `json:"expires,omitzero"`
	// Took is the duration of the request, in nanoseconds.
	Took time.Duration `json:"took_ns"`
	// Skew is how far the local clock is ahead of the endpoint's, in
	// nanoseconds; 0 when SkewKnown is false.
	Skew      time.Duration `json:"skew_ns"`
	SkewKnown bool          `json:"skew_known"`
	// Warning is something that will become a failure: a clock 5 s off.
	Warning string `json:"warning,omitempty"`
	// Err is why the check failed; nil when it passed. A clock that is 60 s off fails the check
	// even when a token was issued.
	Err error `json:"-"`
	// Mend is what a person can do about Err.
	Mend string `json:"mend,omitempty"`
}

// OK reports whether the check passed.
func (k KeyCheck) OK() bool { return k.Err == nil }

// Check asks for a token with each key, one after the other, and discards the tokens. It changes
// nothing: neither the key in use nor what a [Cache] remembers.
func (o *OAuth) Check(ctx context.Context) []KeyCheck {
	var checks []KeyCheck
	for i, k := range o.Keys() {
		c := KeyCheck{Role: [...]string{"current", "next"}[i], KeyID: k.ID(), Algorithm: k.Algorithm()}
		c.try(o.endpoint, func() (Token, error) { return o.mint(ctx, k, o.scope) })
		checks = append(checks, c)
	}
	return checks
}

// Check authenticates with the secret, and discards the token.
func (l *Legacy) Check(ctx context.Context) []KeyCheck {
	c := KeyCheck{Role: "legacy"}
	c.try(l.endpoint, func() (Token, error) { return l.ask(ctx, opAuthenticate, l.credentials().alone()) })
	return []KeyCheck{c}
}

func (k *KeyCheck) try(e *endpoint, mint func() (Token, error)) {
	begun := time.Now()
	t, err := mint()
	k.Took = time.Since(begun)
	k.Skew, k.SkewKnown = e.skew.value()
	k.Err, k.Mend = err, mendOf(err)
	if err == nil {
		k.Lifetime, k.Expires = t.Lifetime(), t.Expires
	}
	switch bad := "this host's clock is " + skewText(k.Skew); {
	case k.Skew.Abs() >= skewFail && err == nil:
		k.Err, k.Mend = errors.New("auth: "+bad), "set this host's clock"
	case k.Skew.Abs() >= skewWarn:
		k.Warning = fmt.Sprintf("%s: set it, Redox allows 10s", bad)
	}
}
