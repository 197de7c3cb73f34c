package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

// DefaultTokenURL is Redox's token endpoint in the United States (Redox,
// Authenticate an OAuth API key). Canada's host is api.ca.redoxengine.com. Do
// not discover it: the metadata that api.redoxengine.com publishes describes
// another server.
const DefaultTokenURL = "https://api.redoxengine.com/v2/auth/token"

// assertionType is the client_assertion_type of RFC 7523, section 2.2.
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// OAuthConfig configures an OAuth. The zero value asks Redox's own endpoint.
type OAuthConfig struct {
	// TokenURL is the token endpoint; default [DefaultTokenURL]. https, or http
	// on a loopback host.
	TokenURL string
	// HTTPHosts are test hosts, by name or address, that may be asked by plain http;
	// default none.
	HTTPHosts []string
	// Audience is the assertion's aud; default TokenURL.
	Audience string
	// Scope is asked for, space separated; default none. Redox needs none, SMART
	// servers do.
	Scope string
	// Params are further fields of the form, such as an audience or a resource that
	// a server wants; default none. They are not for secrets.
	Params url.Values
	// Claims are further claims of the assertion, by name; default none. A value is
	// whatever encoding/json writes.
	Claims map[string]any
	// Algorithm is what both keys sign with; default RS384 for an RSA key, ES384 for
	// an EC key on P-384. A key on P-256 or P-521 signs ES256 or ES512 where that is
	// said here, in its JWK or in [NewKey]: Redox is not known to take either.
	Algorithm Algorithm
	// Next is the key that succeeds the current one in a rotation; default none.
	// When the server refuses one key the other is tried at once.
	Next Key
	// SignTimeout bounds one call of the [Signer] of a key that has one; default 10 s.
	SignTimeout time.Duration
	// AssertionLifetime is how far exp is ahead of iat: default 4 minutes, at
	// most 5 (SMART), whole seconds.
	AssertionLifetime time.Duration

	// Transport sends the requests; default one of its own, with the
	// environment's proxy. Redirects are never followed.
	Transport http.RoundTripper
	// Timeout bounds one request, its answer included; default 15 s.
	Timeout time.Duration
	// Name names this client in metrics and logs; default "default".
	Name string
	// Logger takes fall-backs between keys and a bad clock; default none.
	Logger *slog.Logger
	// Metrics is told of fall-backs between keys; default none.
	Metrics Metrics
}

// WithDefaults returns a copy with every default filled in.
func (c OAuthConfig) WithDefaults() OAuthConfig {
	c.TokenURL = cmp.Or(c.TokenURL, DefaultTokenURL)
	c.Audience = cmp.Or(c.Audience, c.TokenURL)
	c.AssertionLifetime = cmp.Or(c.AssertionLifetime, defaultAssertionLifetime)
	c.SignTimeout = cmp.Or(c.SignTimeout, defaultSignTimeout)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Name = cmp.Or(c.Name, defaultName)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports every problem of the config at once. It fills nothing in.
func (c OAuthConfig) Validate() error {
	var bad []error
	if c.TokenURL != "" {
		if _, err := remote.Check("token URL", c.TokenURL, c.HTTPHosts); err != nil {
			bad = append(bad, err)
		}
	}
	bad = append(bad, checkParams(c.Params))
	if _, err := encodeClaims(c.Claims); err != nil {
		bad = append(bad, err)
	}
	if _, known := schemes[c.Algorithm]; c.Algorithm != "" && !known {
		bad = append(bad, unprefixed(algorithmError(c.Algorithm)))
	}
	if c.SignTimeout < 0 {
		bad = append(bad, fmt.Errorf("sign timeout is %s: give a positive one, or 0 for %s", c.SignTimeout, defaultSignTimeout))
	}
	if d := c.AssertionLifetime; d != 0 && (d < time.Second || d > maxAssertionLifetime) {
		bad = append(bad, fmt.Errorf("assertion lifetime is %s: give 1s to %s", d, maxAssertionLifetime))
	}
	if c.Timeout < 0 {
		bad = append(bad, fmt.Errorf("timeout is %s: give a positive one, or 0 for %s", c.Timeout, defaultTimeout))
	}
	return errors.Join(bad...)
}

// OAuth asks for tokens with a signed client assertion (RFC 7523, SMART Backend
// Services). It keeps no token: put a [Cache] in front of it. Safe for
// concurrent use.
//
// Assertions are dated by the local clock. If the server refuses one whose time differs from the
// Date header of the refusal, OAuth sends another at once, dated by that header, and keeps using
// the difference for as long as it gets tokens. So a host whose clock is off by any amount gets
// tokens at the cost of one more request.
type OAuth struct {
	assertion assertion
	scope     string
	params    url.Values
	only      Algorithm
	name      string
	endpoint  *endpoint
	logger    *slog.Logger
	meter     meter
	keys      keyPair
	dating    dating
}

// NewOAuth returns an OAuth for the client id of an OAuth or user-level API key
// and its private key, which must have an id. Its error names every problem.
func NewOAuth(clientID string, k Key, cfg OAuthConfig) (*OAuth, error) {
	bad := []error{cfg.Validate()}
	if clientID == "" {
		bad = append(bad, errors.New("the client id is missing: copy it from the API key in the Redox dashboard"))
	}
	pair, wrong := newPair(k, cfg.Next, cfg.Algorithm)
	bad = append(bad, wrong)
	if err := errors.Join(bad...); err != nil {
		return nil, fmt.Errorf("auth: oauth: %w", err)
	}
	cfg = cfg.WithDefaults()
	e, err := newEndpoint("token URL", cfg.TokenURL, cfg.HTTPHosts, cfg.Transport, cfg.Timeout, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("auth: oauth: %w", err)
	}
	claims, err := encodeClaims(cfg.Claims)
	if err != nil {
		return nil, fmt.Errorf("auth: oauth: %w", err)
	}
	o := &OAuth{
		assertion: assertion{clientID, cfg.Audience, cfg.AssertionLifetime, cfg.SignTimeout, claims},
		params:    cloneParams(cfg.Params),
		scope:     cfg.Scope,
		only:      cfg.Algorithm,
		name:      cfg.Name,
		endpoint:  e,
		logger:    cfg.Logger,
		meter:     newMeter(cfg.Metrics, cfg.Name, cfg.Logger),
	}
	o.keys.set(pair)
	return o, nil
}

// Mint asks for one token with a new assertion. When the server refuses the key
// (invalid_client, "Public key not found"), or its Signer does not sign, Mint tries the
// other key, if there is one, in the same call, and keeps it if it works.
func (o *OAuth) Mint(ctx context.Context) (Token, error) { return o.mintScope(ctx, o.scope) }

// mintScope is Mint for a scope.
func (o *OAuth) mintScope(ctx context.Context, scope string) (Token, error) {
	keys, first := o.keys.get()
	t, err := o.mint(ctx, keys[first], scope)
	other := keys[1-first]
	if err == nil || !otherMayDo(err) || other.IsZero() {
		return t, err
	}
	t, second := o.mint(ctx, other, scope)
	if second != nil {
		if classOf(second) == temporary {
			err, second = second, err // the first one says how to retry
		}
		return Token{}, fmt.Errorf("auth: both keys failed: %w; %w", unprefixed(err), unprefixed(second))
	}
	if o.keys.use(keys, 1-first) {
		o.meter.fellBack()
		o.logger.WarnContext(ctx, "one key of the pair is refused or cannot sign, the other works and is used from now on",
			"key", o.name, "refused_kid", keys[first].ID(), "used_kid", other.ID(), "error", err)
	}
	return t, nil
}

// mint asks with one key. A refusal that may be that of a replay, which something
// on the way caused, or of the clock, is answered with one more request, whose
// assertion is new.
func (o *OAuth) mint(ctx context.Context, k Key, scope string) (Token, error) {
	used := o.dating.get()
	t, d, err := o.ask(ctx, k, scope, used)
	if err != nil {
		var ok bool
		if used, ok = again(used, d, err); !ok {
			return Token{}, err
		}
		if t, d, err = o.ask(ctx, k, scope, used); err != nil {
			return Token{}, err
		}
	}
	o.took(ctx, used, d)
	return t, nil
}

// ask makes one request, whose assertion is dated by the local clock less ahead, and
// returns what the answer says of that.
func (o *OAuth) ask(ctx context.Context, k Key, scope string, ahead time.Duration) (Token, dated, error) {
	d := dated{iat: time.Now().Round(0).Add(-ahead)}
	signed, err := o.assertion.sign(ctx, k, d.iat)
	if err != nil {
		return Token{}, d, err
	}
	a, err := o.request(ctx, k, scope, signed)
	d = d.of(a)
	if err != nil {
		return Token{}, d, err
	}
	t, err := o.read(k, signed, a)
	return t, d, err
}

// request posts an assertion.
func (o *OAuth) request(ctx context.Context, k Key, scope string, signed Secret) (reply, error) {
	form := cloneParams(o.params)
	form.Set("grant_type", "client_credentials")
	form.Set("client_assertion_type", assertionType)
	form.Set("client_assertion", signed.Reveal())
	if scope != "" {
		form.Set("scope", scope)
	}
	a, err := o.endpoint.post(ctx, opToken, "", "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		if e, ok := errors.AsType[*TokenError](err); ok {
			e.KeyID = k.ID()
		}
	}
	return a, err
}

// read makes a token of an answer, or an error of one that holds none.
func (o *OAuth) read(k Key, signed Secret, a reply) (Token, error) {
	if a.status < 200 || a.status > 299 {
		return Token{}, o.endpoint.refused(opToken, k.ID(), a, signed)
	}
	g, err := answer.ReadGrant(a.body)
	if err != nil {
		if e := o.endpoint.refused(opToken, k.ID(), a, signed); e.Code != "" {
			return Token{}, e // an error under a success status
		}
		return Token{}, o.endpoint.unusable(opToken, k.ID(), a, err.Error())
	}
	t := NewToken(g.Token, a.begun, a.begun.Add(g.Lifetime))
	t.Type, t.Scope = g.Kind, g.Scope
	return t, nil
}

// Skew returns how far the local clock was ahead of the endpoint's at the last
// answer (negative: behind), and false before the first one.
func (o *OAuth) Skew() (time.Duration, bool) { return o.endpoint.skew.value() }

// CloseIdleConnections closes the idle connections to the endpoint, unless they are
// those of [OAuthConfig.Transport].
func (o *OAuth) CloseIdleConnections() { o.endpoint.closeIdle() }
