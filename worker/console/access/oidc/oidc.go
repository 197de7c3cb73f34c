// Package oidc signs people in to the web console with a provider of OpenID Connect: code and PKCE. It
// is a package of its own, so that who signs people in otherwise does not link it.
package oidc

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// Config says which provider signs people in, and how it calls them.
type Config struct {
	// Issuer as the discovery document of the provider has it.
	Issuer string
	// ClientID of the console at the provider, and ClientSecret, which a public client does not have.
	ClientID     string
	ClientSecret secret.Text
	// Scopes to ask for; default openid, profile and email.
	Scopes []string
	// NameClaim is the name of a user; default email. Nobody must be able to choose it for themselves.
	NameClaim string
	// GroupsClaim has their groups; default groups.
	GroupsClaim string
	// Transport reaches the provider; default one with the system's authorities.
	Transport http.RoundTripper
}

// WithDefaults returns a copy with every default filled in.
func (c Config) WithDefaults() Config {
	if len(c.Scopes) == 0 {
		c.Scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	c.NameClaim = cmp.Or(c.NameClaim, "email")
	c.GroupsClaim = cmp.Or(c.GroupsClaim, "groups")
	if c.Transport == nil {
		c.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	}
	return c
}

// Validate reports every problem of the config at once.
func (c Config) Validate() error {
	var problems []error
	if u, err := url.Parse(c.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		problems = append(problems, errors.New("the Issuer is not an http or https URL"))
	}
	if c.ClientID == "" {
		problems = append(problems, errors.New("ClientID is empty"))
	}
	if len(c.Scopes) > 0 && !slices.Contains(c.Scopes, oidc.ScopeOpenID) {
		problems = append(problems, errors.New("the Scopes are without openid: the provider would not say who it is"))
	}
	return errors.Join(problems...)
}

const (
	// freshFor is how long a discovery document serves, and failedFor how long a failure to get one.
	freshFor, failedFor = time.Hour, 5 * time.Second
	// askTimeout bounds what one request to the provider takes, also where many sign-ins wait for it.
	askTimeout = 10 * time.Second
	// mostAnswer bounds an answer of the provider, in bytes.
	mostAnswer = 1 << 20
)

// Provider is an [access.Redirector]. It is safe for concurrent use, and asks the provider nothing
// before somebody signs in.
type Provider struct {
	cfg    Config
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
	asked    time.Time
	err      error
}

var _ access.Redirector = (*Provider)(nil)

// New returns a Provider.
func New(cfg Config) (*Provider, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("oidc: %w", err)
	}
	p := &Provider{cfg: cfg.WithDefaults()}
	p.client = &http.Client{Timeout: askTimeout, Transport: bounded{p.cfg.Transport}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return p, nil
}

// bounded reads no more of an answer than it has to. Of a refused GET it reads nothing: go-oidc would
// put that into its error.
type bounded struct{ base http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	most := int64(mostAnswer)
	if r.Method == http.MethodGet && answer.StatusCode != http.StatusOK {
		most = 0
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, most), answer.Body}
	return answer, nil
}

// discovered returns what the provider says of itself. An older answer serves when there is no new one.
// A browser that goes away ends no request for the document, which others wait for.
func (p *Provider) discovered(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	age := time.Since(p.asked)
	switch {
	case p.provider != nil && age < freshFor:
		return p.provider, nil
	case p.err != nil && age < failedFor:
		return p.provider, p.err
	}
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.client), p.cfg.Issuer)
	p.asked, p.err = time.Now(), nil
	switch {
	case err == nil:
		p.provider = found
	case p.provider == nil:
		p.err = fmt.Errorf("oidc: the discovery document of %s: %w", p.cfg.Issuer, err)
	}
	return p.provider, p.err
}

func (p *Provider) oauth(provider *oidc.Provider, callback string) *oauth2.Config {
	at := provider.Endpoint()
	at.AuthStyle = oauth2.AuthStyleInParams
	var says struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	_ = provider.Claims(&says) // it was read before
	if p.cfg.ClientSecret.IsSet() && (len(says.Methods) == 0 || slices.Contains(says.Methods, "client_secret_basic")) {
		at.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{ClientID: p.cfg.ClientID, ClientSecret: p.cfg.ClientSecret.Reveal(), Endpoint: at, RedirectURL: callback, Scopes: p.cfg.Scopes}
}

// Begin returns where the provider has people sign in.
func (p *Provider) Begin(ctx context.Context, callback, state, nonce, verifier string) (string, error) {
	provider, err := p.discovered(ctx)
	if err != nil {
		return "", err
	}
	return p.oauth(provider, callback).AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// codePattern is an error code of OAuth, which may be told on.
var codePattern = regexp.MustCompile(`^[a-z_]{1,40}$`)

// Finish takes the code of an answer for an ID token, and that for who it is.
func (p *Provider) Finish(ctx context.Context, callback string, answer url.Values, nonce, verifier string) (access.Identity, error) {
	if code := answer.Get("error"); code != "" {
		if !codePattern.MatchString(code) {
			code = "unknown"
		}
		return access.Identity{}, errors.New("oidc: the provider refused: " + code)
	}
	if issuer := answer.Get("iss"); issuer != "" && issuer != p.cfg.Issuer {
		return access.Identity{}, errors.New("oidc: the answer is of another provider")
	}
	provider, err := p.discovered(ctx)
	if err != nil {
		return access.Identity{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.oauth(provider, callback).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return access.Identity{}, safe(err)
	}
	id, err := p.verified(ctx, provider, token, nonce)
	if err != nil {
		return access.Identity{}, err
	}
	return p.identity(ctx, provider, token, id)
}

// safe is an error of the token endpoint without what it answered.
func safe(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		code := refused.ErrorCode
		if !codePattern.MatchString(code) {
			code = "no error code"
		}
		status := 0
		if refused.Response != nil {
			status = refused.Response.StatusCode
		}
		return fmt.Errorf("oidc: the token endpoint answered %d, %s", status, code)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("oidc: the token endpoint: %w", err)
	}
	return errors.New("oidc: the token endpoint answered with no token")
}

// keysUnread is in an error of go-oidc, before the answer that holds no keys.
const keysUnread = "failed to decode keys"

// verified checks the ID token: signature, issuer, audience and time, and that it is of this sign-in.
func (p *Provider) verified(ctx context.Context, provider *oidc.Provider, token *oauth2.Token, nonce string) (*oidc.IDToken, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, errors.New("oidc: the provider gave no ID token")
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		if before, _, unread := strings.Cut(err.Error(), keysUnread); unread {
			err = errors.New(before + keysUnread)
		}
		return nil, fmt.Errorf("oidc: the ID token: %w", err)
	}
	var claims struct {
		Party string `json:"azp"`
	}
	if err := id.Claims(&claims); err != nil {
		return nil, errors.New("oidc: the ID token has claims of the wrong form")
	}
	switch {
	case nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1:
		return nil, errors.New("oidc: the ID token is of another sign-in")
	case claims.Party != "" && claims.Party != p.cfg.ClientID || claims.Party == "" && len(id.Audience) > 1:
		return nil, errors.New("oidc: the ID token was made for another client")
	case id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil:
		return nil, errors.New("oidc: the ID token is not of the access token beside it")
	}
	return id, nil
}
