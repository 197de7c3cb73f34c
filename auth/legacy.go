package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

// DefaultLegacyURL is the base of Redox's legacy endpoints, authenticate and
// refreshToken (Redox, Authenticate a legacy API key).
const DefaultLegacyURL = "https://api.redoxengine.com/auth"

// defaultLegacyLifetime is taken when an answer gives no end that makes sense.
// Redox's tokens live 24 hours; asking earlier costs little.
const defaultLegacyLifetime = time.Hour

// LegacyConfig configures a Legacy. The zero value asks Redox.
type LegacyConfig struct {
	// URL is the base of the endpoints authenticate and refreshToken; default
	// [DefaultLegacyURL]. https, or http on a loopback host.
	URL string
	// HTTPHosts are test hosts, by name or address, that may be asked by plain http;
	// default none.
	HTTPHosts []string
	// PerRequest authenticates with the secret each time and uses no refresh token: Redox's advice
	// for low traffic. Set [CacheConfig.PerRequest] as well.
	PerRequest bool
	// Transport sends the requests; default one of its own, with the
	// environment's proxy. Redirects are never followed.
	Transport http.RoundTripper
	// Timeout bounds one request, its answer included; default 15 s.
	Timeout time.Duration
	// Name names this client in logs; default "default".
	Name string
	// Logger takes refused refreshes and a bad clock; default none.
	Logger *slog.Logger
}

// WithDefaults returns a copy with every default filled in.
func (c LegacyConfig) WithDefaults() LegacyConfig {
	c.URL = cmp.Or(c.URL, DefaultLegacyURL)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Name = cmp.Or(c.Name, defaultName)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports every problem of the config at once. It fills nothing in.
func (c LegacyConfig) Validate() error {
	var bad []error
	if c.URL != "" {
		if _, err := remote.Check("legacy URL", c.URL, c.HTTPHosts); err != nil {
			bad = append(bad, err)
		}
	}
	if c.Timeout < 0 {
		bad = append(bad, fmt.Errorf("timeout is %s: give a positive one, or 0 for %s", c.Timeout, defaultTimeout))
	}
	return errors.Join(bad...)
}

// Legacy asks for tokens with an API key and its secret, and with the refresh
// token of the last answer where there is one. Redox's legacy keys serve the
// Data Model API only, not FHIR and not the Platform API. It keeps no token: put
// a [Cache] in front of it, without a pool. Safe for concurrent use; requests are
// made one at a time, for each answer replaces the refresh token.
type Legacy struct {
	endpoint   *endpoint
	perRequest bool
	name       string
	logger     *slog.Logger
	turn       chan struct{} // holds one: the right to make a request

	mu sync.Mutex
	legacySecrets
}

// legacySecrets are what a request is made of.
type legacySecrets struct {
	apiKey, secret, refresh Secret

	age int // grows when the refresh token is dropped
}

// NewLegacy returns a Legacy for an API key and its secret.
func NewLegacy(apiKey string, secret Secret, cfg LegacyConfig) (*Legacy, error) {
	bad := []error{cfg.Validate()}
	if apiKey == "" {
		bad = append(bad, errors.New("the API key is missing: copy it from the source in the Redox dashboard"))
	}
	if !secret.IsSet() {
		bad = append(bad, errors.New("the secret is missing: generate one in the Redox dashboard, which ends the old one"))
	}
	if err := errors.Join(bad...); err != nil {
		return nil, fmt.Errorf("auth: legacy: %w", err)
	}
	cfg = cfg.WithDefaults()
	e, err := newEndpoint("legacy URL", strings.TrimSuffix(cfg.URL, "/"), cfg.HTTPHosts, cfg.Transport, cfg.Timeout, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("auth: legacy: %w", err)
	}
	return &Legacy{
		endpoint: e, perRequest: cfg.PerRequest, name: cfg.Name, logger: cfg.Logger, turn: make(chan struct{}, 1),
		legacySecrets: legacySecrets{apiKey: NewSecret(apiKey), secret: secret},
	}, nil
}

// Mint asks for one token. It uses the refresh token if there is one, which works after the access
// token has ended too. It falls back to the secret unless the refusal was for too many requests.
func (l *Legacy) Mint(ctx context.Context) (Token, error) {
	if l.perRequest {
		return l.ask(ctx, opAuthenticate, l.credentials().alone())
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return Token{}, fmt.Errorf("auth: waiting to authenticate: %w", context.Cause(ctx))
	}
	has := l.credentials()
	if has.refresh.IsSet() {
		t, err := l.ask(ctx, opRefresh, has)
		e, _ := errors.AsType[*TokenError](err)
		if err == nil || e == nil || e.Status == 0 || e.Status == http.StatusTooManyRequests {
			return t, err // another request at once would be one too many as well
		}
		l.logger.InfoContext(ctx, "the refresh token was not taken, authenticating with the secret", "key", l.name, "status", e.Status)
		l.forget(has.age)
	}
	return l.ask(ctx, opAuthenticate, l.credentials())
}

// SetCredentials replaces the API key and its secret, and drops the refresh token; an unset one
// stays as it was. The change takes effect with the next request, and the replaced ones are
// dropped. Call [Cache.Renew] afterwards to try the new ones at once.
func (l *Legacy) SetCredentials(apiKey, secret Secret) error {
	if !apiKey.IsSet() && !secret.IsSet() {
		return errors.New("auth: new credentials: both are empty, the old ones stay")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if apiKey.IsSet() {
		l.apiKey = apiKey
	}
	if secret.IsSet() {
		l.secret = secret
	}
	l.refresh = Secret{}
	l.age++
	return nil
}

// Forget drops the refresh token: the next request authenticates anew. A
// [Cache] calls it when the API refused a token. It does not block.
func (l *Legacy) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh = Secret{}
	l.age++
}

// CloseIdleConnections closes the idle connections to the endpoint, unless they are
// those of [LegacyConfig.Transport].
func (l *Legacy) CloseIdleConnections() { l.endpoint.closeIdle() }

// Skew returns how far the local clock was ahead of the endpoint's at the last
// answer (negative: behind), and false before the first one.
func (l *Legacy) Skew() (time.Duration, bool) { return l.endpoint.skew.value() }

func (l *Legacy) credentials() legacySecrets {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.legacySecrets
}

// alone returns the secrets for a request whose refresh token is not kept.
func (s legacySecrets) alone() legacySecrets {
	s.age = -1
	return s
}

// forget drops the refresh token unless it is a newer one.
func (l *Legacy) forget(age int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.age == age {
		l.refresh = Secret{}
	}
}

// keep remembers a refresh token, unless it was made before a Forget or by a
// secret that has been replaced.
func (l *Legacy) keep(refresh string, age int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.age == age {
		l.refresh = NewSecret(refresh)
	}
}

// ask posts {"apiKey", "secret"} or {"apiKey", "refreshToken"}.
func (l *Legacy) ask(ctx context.Context, op string, has legacySecrets) (Token, error) {
	form := map[string]string{"apiKey": has.apiKey.Reveal()}
	path, credential := "/authenticate", has.secret
	if op == opRefresh {
		path, credential = "/refreshToken", has.refresh
		form["refreshToken"] = credential.Reveal()
	} else {
		form["secret"] = credential.Reveal()
	}
	body, err := json.Marshal(form)
	if err != nil {
		return Token{}, fmt.Errorf("auth: %s: the request cannot be written as JSON", op)
	}
	a, err := l.endpoint.post(ctx, op, path, "application/json", body)
	if err != nil {
		return Token{}, err
	}
	if a.status < 200 || a.status > 299 {
		return Token{}, l.endpoint.refused(op, "", a, has.apiKey, credential)
	}
	g, refresh, err := readLegacy(a)
	if err != nil {
		return Token{}, l.endpoint.unusable(op, "", a, err.Error())
	}
	l.keep(refresh, has.age)
	return NewToken(g.Token, a.begun, a.begun.Add(g.Lifetime)), nil
}

// readLegacy reads {"accessToken", "expires", "refreshToken"}. The end is an
// instant of the server's clock, so it is counted from the answer's Date.
func readLegacy(a reply) (g answer.Grant, refresh string, err error) {
	var l struct {
		AccessToken  json.RawMessage `json:"accessToken"`
		Expires      json.RawMessage `json:"expires"`
		RefreshToken json.RawMessage `json:"refreshToken"`
	}
	if err := answer.ReadJSON(a.body, &l); err != nil {
		return answer.Grant{}, "", err
	}
	g = answer.Grant{Token: answer.Text(l.AccessToken), Kind: "Bearer", Lifetime: defaultLegacyLifetime}
	if end, err := time.Parse(time.RFC3339, answer.Text(l.Expires)); err == nil {
		from := a.date
		if from.IsZero() {
			from = a.begun
		}
		if left := end.Sub(from); left > 0 {
			g.Lifetime = min(max(left, time.Second), answer.MaxLifetime)
		}
	}
	refresh = answer.Text(l.RefreshToken)
	if answer.CheckBearer(refresh) != nil {
		refresh = ""
	}
	return g, refresh, answer.CheckBearer(g.Token)
}
