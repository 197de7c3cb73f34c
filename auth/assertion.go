package auth

import (
	"crypto/rand"
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
)

// assertion says who asks, and where.
type assertion struct {
	clientID string
	audience string
	lifetime time.Duration
}

// sign makes a new client assertion: the claims of RFC 7523 section 3 and SMART,
// and iat, which Redox wants within the past five minutes. Each call has its own
// jti, for SMART wants a new assertion for every request, retries included.
func (a assertion) sign(k Key, now time.Time) (Secret, error) {
	var method jwt.SigningMethod = jwt.SigningMethodRS384
	if k.Algorithm() == ES384 {
		method = jwt.SigningMethodES384
	}
	t := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": a.clientID,
		"sub": a.clientID,
		"aud": a.audience, // one string: servers that compare it whole take no list
		"iat": now.Unix(),
		"exp": now.Unix() + int64(a.lifetime/time.Second),
		"jti": rand.Text(),
	})
	t.Header["kid"] = k.ID()
	signed, err := t.SignedString(k.k.signer)
	if err != nil {
		return Secret{}, keyfile.Error("%s cannot sign: %w", k, err)
	}
	return NewSecret(signed), nil
}
