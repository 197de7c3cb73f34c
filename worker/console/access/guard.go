package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/outbox/logsample"
)

// Authenticator tells who makes a request, by what each request carries.
//
// It is called for each, from many goroutines. Its error means that nobody is let in; its text is
// logged, and shown to nobody. Its panic is recovered and means the same.
type Authenticator interface {
	Authenticate(r *http.Request) (Identity, error)
}

// Redirector signs people in elsewhere: the browser is sent there and comes back to the callback. Of
// each sign-in there are three random texts: the state comes back with the browser, the nonce in the
// token, and the verifier proves that it is we who ask for that. Its methods are called from many
// goroutines; their panics are recovered.
type Redirector interface {
	// Begin returns where the browser is to go.
	Begin(ctx context.Context, callback, state, nonce, verifier string) (string, error)
	// Finish takes what the browser came back with; its state is the right one. It may ask the other
	// side, as long as ctx lasts.
	Finish(ctx context.Context, callback string, answer url.Values, nonce, verifier string) (Identity, error)
}

// Config says how people sign in. Exactly one of Tokens, Passwords, Redirector and Authenticator is set.
type Config struct {
	// Tokens, Passwords: people show one, and have a session then.
	Tokens    *Tokens
	Passwords *Passwords
	// Redirector needs PublicURL.
	Redirector Redirector
	// Authenticator is for what each request carries; there are no sessions then.
	Authenticator Authenticator
	// Rules give roles to those who are known.
	Rules []Rule
	// Session is how long a session lasts; default 8 h, at most 24 h.
	Session time.Duration
	// SessionKeys seal the sessions: the first seals, all open. Each is of 32 bytes or more. Without
	// one, sessions end with the process and are not known to other replicas.
	SessionKeys []secret.Text
	// PublicURL is the address of the console as browsers see it, without a slash at its end; it may be
	// empty.
	PublicURL string
	// BehindProxy: a proxy with TLS is in front. Without it, plain http is served to this machine alone.
	BehindProxy bool
	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Logger takes who signed in, and what was refused; default none.
	Logger *slog.Logger
}

// WithDefaults returns a copy with every default filled in.
func (c Config) WithDefaults() Config {
	c.Session = cmp.Or(c.Session, 8*time.Hour)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports every problem of the config at once.
func (c Config) Validate() error {
	var problems []error
	ways := 0
	for _, set := range []bool{c.Tokens != nil, c.Passwords != nil, c.Redirector != nil, c.Authenticator != nil} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		problems = append(problems, fmt.Errorf("there are %d ways to sign in: set one of Tokens, Passwords, Redirector and Authenticator", ways))
	}
	for _, r := range c.Rules {
		problems = append(problems, r.valid())
	}
	if c.Session < 0 || c.Session > 24*time.Hour {
		problems = append(problems, fmt.Errorf("a session of %s: give at most 24h, or 0 for 8h", c.Session))
	}
	switch u, err := url.Parse(c.PublicURL); {
	case err != nil || c.PublicURL != "" && (u.Host == "" || u.Scheme != "https" && u.Scheme != "http"):
		problems = append(problems, errors.New("PublicURL is not an http or https URL"))
	case c.PublicURL == "" && c.Redirector != nil:
		problems = append(problems, errors.New("PublicURL is empty: the browser could not come back from where it signs in"))
	}
	return errors.Join(problems...)
}

// Guard lets people in to a console, or not. It is safe for concurrent use.
type Guard struct {
	cfg     Config
	way     string // of sessions; "" where there are none
	form    form   // nil unless people show a secret
	seal    *sealer
	origins *http.CrossOriginProtection
	slug    string // of the path in PublicURL
	tries   *throttle
	hashing chan struct{} // how many secrets are looked at at once
	// reserved is for browsers in which somebody has signed in before: a crowd does not keep them out.
	reserved chan struct{}
	used     *usedStates
	passed   *passed
	refusals *slog.Logger // what is refused and fails, sampled: others decide how much that is
}

// form is what people fill in to sign in.
type form interface {
	// check returns who has the secret. name is what they typed, where there is a name to type.
	check(name, secret string) (Identity, bool)
	// mark is of the credential of a user who is still there.
	mark(name string) (string, bool)
	named() bool
}

// New returns a Guard.
func New(cfg Config) (*Guard, error) {
	cfg = cfg.WithDefaults()
	return (&Guard{tries: newThrottle(), hashing: make(chan struct{}, 2), reserved: make(chan struct{}, 1), used: newUsedStates(), refusals: logsample.Wrap(cfg.Logger)}).Renew(cfg)
}

// Renew returns a Guard with another config that takes the place of g: what g remembers of wrong secrets
// and of sign-ins that have ended counts on, and refusals are logged as before.
func (g *Guard) Renew(cfg Config) (*Guard, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	next := &Guard{cfg: cfg.WithDefaults(), origins: http.NewCrossOriginProtection(), tries: g.tries, hashing: g.hashing, reserved: g.reserved, used: g.used, passed: newPassed(), refusals: g.refusals}
	var err error
	if next.seal, err = newSealer(cfg.SessionKeys); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	switch {
	case cfg.Tokens != nil:
		next.way, next.form = "token", cfg.Tokens
	case cfg.Passwords != nil:
		next.way, next.form = "basic", cfg.Passwords
	case cfg.Redirector != nil:
		next.way = "oidc"
	}
	if u, err := url.Parse(cfg.PublicURL); err == nil && u.Host != "" {
		next.slug = slug(u.Path)
		if err := next.origins.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("access: PublicURL: %w", err)
		}
	}
	return next, nil
}

// slug makes a part of a cookie's name of a path.
func slug(path string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		b.WriteByte('-')
		for _, c := range []byte(part) {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}
