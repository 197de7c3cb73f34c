package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
)

const (
	// defaultAssertionLifetime leaves room on both sides of the five minutes
	// that SMART allows: a clock a minute fast does not make exp too far away,
	// one four minutes slow does not make it past.
	defaultAssertionLifetime = 4 * time.Minute
	maxAssertionLifetime     = 5 * time.Minute
	// defaultSignTimeout bounds a call of a Signer.
	defaultSignTimeout = 10 * time.Second
)

// assertion says who asks, and where.
type assertion struct {
	clientID string
	audience string
	lifetime time.Duration
	timeout  time.Duration              // of a Signer
	extra    map[string]json.RawMessage // claims besides those of every assertion
}

// sign makes a new client assertion: the claims of RFC 7523 section 3 and SMART,
// and iat, which Redox wants within the past five minutes. Each call has its own
// jti, for SMART wants a new assertion for every request, retries included.
func (a assertion) sign(ctx context.Context, k Key, now time.Time) (Secret, error) {
	claims := jwt.MapClaims{}
	for name, value := range a.extra {
		claims[name] = value
	}
	maps.Copy(claims, jwt.MapClaims{
		"iss": a.clientID,
		"sub": a.clientID,
		"aud": a.audience, // one string: servers that compare it whole take no list
		"iat": now.Unix(),
		"exp": now.Unix() + int64(a.lifetime/time.Second),
		"jti": rand.Text(),
	})
	t := jwt.NewWithClaims(schemes[k.Algorithm()].method, claims)
	t.Header["kid"] = k.ID()
	text, err := t.SigningString()
	if err != nil {
		return Secret{}, keyfile.Error("the assertion cannot be written: %w", err)
	}
	signed, err := k.k.signature(ctx, a.timeout, text)
	if err != nil {
		return Secret{}, err
	}
	return NewSecret(text + "." + t.EncodeSegment(signed)), nil
}
