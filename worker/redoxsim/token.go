package redoxsim

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
)

// keyKind tells which APIs a token is for.
type keyKind int

const (
	orgKey    keyKind = iota // OAuth key of an organization: Data Model, FHIR, files
	legacyKey                // Data Model, files
	userKey                  // OAuth key of a user: Platform API alone
)

// token is one issued access token. Its fields but revoked do not change.
type token struct {
	id      string // for the record; says nothing about the value
	owner   string // client id or legacy API key
	kind    keyKind
	expires time.Time
	revoked bool
}

// tokenStore is every token, refresh token and jti seen. Its zero value is empty.
type tokenStore struct {
	mu      sync.RWMutex
	last    uint64
	tokens  map[string]*token
	refresh map[string]string    // legacy refresh token to API key
	used    map[string]time.Time // client id and jti to the end of its memory
	swept   time.Time
}

// issue makes a token: a UUID for the legacy API, an opaque text for OAuth.
func (t *tokenStore) issue(owner string, kind keyKind, now time.Time, ttl time.Duration) (value string, made *token) {
	if kind == legacyKey {
		value = uuid()
	} else {
		value = rand.Text() + rand.Text()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	if t.tokens == nil {
		t.tokens = map[string]*token{}
	}
	t.last++
	made = &token{id: "t" + strconv.FormatUint(t.last, 10), owner: owner, kind: kind, expires: now.Add(ttl)}
	t.tokens[value] = made
	return value, made
}

// sweep forgets what has been of no use for an hour, at most once a minute.
func (t *tokenStore) sweep(now time.Time) {
	if now.Sub(t.swept) < time.Minute {
		return
	}
	t.swept = now
	for value, old := range t.tokens {
		if now.Sub(old.expires) > time.Hour {
			delete(t.tokens, value)
		}
	}
	for jti, until := range t.used {
		if now.After(until) {
			delete(t.used, jti)
		}
	}
}

// check judges the Authorization header.
func (t *tokenStore) check(h http.Header, now time.Time) (TokenState, *token) {
	values := h["Authorization"]
	if len(values) != 1 {
		return TokenMissing, nil
	}
	scheme, value, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || value == "" {
		return TokenMissing, nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	found := t.tokens[value]
	switch {
	case found == nil:
		return TokenUnknown, nil
	case found.revoked:
		return TokenRevoked, found
	case !now.Before(found.expires):
		return TokenExpired, found
	}
	return TokenValid, found
}

// useOnce remembers a jti for as long as its assertion could be accepted; false when it was used before.
func (t *tokenStore) useOnce(clientID, jti string, now time.Time) bool {
	key := clientID + "\x00" + jti
	t.mu.Lock()
	defer t.mu.Unlock()
	if until, seen := t.used[key]; seen && !now.After(until) {
		return false
	}
	if t.used == nil {
		t.used = map[string]time.Time{}
	}
	t.used[key] = now.Add(assertion.Memory)
	return true
}

// newRefresh makes the refresh token that belongs to a legacy API key.
func (t *tokenStore) newRefresh(apiKey string) string {
	value := uuid()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refresh == nil {
		t.refresh = map[string]string{}
	}
	t.refresh[value] = apiKey
	return value
}

// spendRefresh uses a refresh token up; false when it is not that key's.
func (t *tokenStore) spendRefresh(apiKey, value string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	owner, ok := t.refresh[value]
	if !ok || owner != apiKey {
		return false
	}
	delete(t.refresh, value)
	return true
}

// NewToken issues a token without a token request, for load generators. ttl 0 means [Server.TokenTTL].
func (s *Server) NewToken(clientID string, ttl time.Duration) string {
	if ttl == 0 {
		ttl = s.tokenTTL()
	}
	value, _ := s.tokens.issue(clientID, s.dir.kindOf(clientID), s.now(), ttl)
	return value
}

// RevokeTokens ends every live token, or those of the named client ids and API keys, and returns how many. Refresh
// tokens stay.
func (s *Server) RevokeTokens(owners ...string) int {
	now, n := s.now(), 0
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	for _, t := range s.tokens.tokens {
		if !t.revoked && now.Before(t.expires) && ownedBy(t, owners) {
			t.revoked = true
			n++
		}
	}
	return n
}

// liveTokens counts the tokens that would be accepted now.
func (s *Server) liveTokens() int {
	now, n := s.now(), 0
	s.tokens.mu.RLock()
	defer s.tokens.mu.RUnlock()
	for _, t := range s.tokens.tokens {
		if !t.revoked && now.Before(t.expires) {
			n++
		}
	}
	return n
}

func ownedBy(t *token, owners []string) bool {
	for _, o := range owners {
		if o == t.owner {
			return true
		}
	}
	return len(owners) == 0
}

func (s *Server) tokenTTL() time.Duration {
	if s.TokenTTL == 0 {
		return 5 * time.Minute
	}
	return s.TokenTTL
}

func (s *Server) legacyTTL() time.Duration {
	if s.LegacyTTL == 0 {
		return 24 * time.Hour
	}
	return s.LegacyTTL
}

// uuid is a random UUID, version 4.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:], b[:4])
	hex.Encode(text[9:], b[4:6])
	hex.Encode(text[14:], b[6:8])
	hex.Encode(text[19:], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
