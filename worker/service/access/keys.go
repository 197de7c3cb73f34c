package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/prom"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// KeysOptions is what [NewKeys] needs besides the configuration.
type KeysOptions struct {
	// Transport carries the requests for tokens; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// Logger; nil discards.
	Logger *slog.Logger
	// Registerer of the redoxworker_auth_* metrics; nil means none.
	Registerer prometheus.Registerer
	// Refused reports, by the name of a key, whether Redox refuses its tokens at present, for the
	// metrics: such a key is not usable. It must be quick and safe for concurrent use. nil means
	// that it is not known.
	Refused func() map[string]bool
	// Observe is called when a key has no token any more, and when it has one again. It must be
	// quick and safe for concurrent use. Default none.
	Observe func(key string, usable bool)
}

// Keys are the credentials of all keys of a configuration. It is safe for concurrent use.
type Keys struct {
	options KeysOptions
	metrics *prom.Metrics // nil when none are registered

	mu   sync.Mutex
	all  map[string]*Key
	used map[string]bool // what asks for tokens by itself
	life *life           // of Run; nil while it does not run
}

// Key is the credentials of one configured key.
type Key struct {
	Name string
	// Config is the key as configured, without what a rotation replaces.
	Config config.Key
	// Tokens of the key, for package redox.
	Tokens *auth.Cache
	// OAuth or Legacy makes the tokens; the other is nil.
	OAuth  *auth.OAuth
	Legacy *auth.Legacy

	// kid and nextKID are as configured, "" when the key file says them: another
	// key may then stand in it.
	kid, nextKID string
	inline       [sha256.Size]byte // of the secrets that no file holds
	unmeasure    func()            // ends what is shown of it; nil when nothing is

	// while Run runs
	stop, stopTokens context.CancelFunc
	renewed          chan struct{} // closed when the renewal of before has ended
}

// NewKeys makes the credentials of every key of c. It asks for no token. The error holds the
// problems of all keys, each of them a [config.Mistake].
func NewKeys(c *config.Config, o KeysOptions) (*Keys, error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	k := &Keys{options: o}
	if o.Registerer != nil {
		var err error
		if k.metrics, err = prom.New(o.Registerer); err != nil {
			return nil, err
		}
		k.metrics.Refused(o.Refused)
	}
	return k, k.set(c)
}

// Get returns the key of that name; nil when there is none.
func (k *Keys) Get(name string) *Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all[name]
}

// All returns the keys in the order of their names.
func (k *Keys) All() []*Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]*Key, 0, len(k.all))
	for _, name := range slices.Sorted(maps.Keys(k.all)) {
		all = append(all, k.all[name])
	}
	return all
}

// Credentials returns the tokens of every key by its name, for package redox.
func (k *Keys) Credentials() map[string]redox.Credentials {
	k.mu.Lock()
	defer k.mu.Unlock()
	return credentials(k.all)
}

func credentials(of map[string]*Key) map[string]redox.Credentials {
	all := make(map[string]redox.Credentials, len(of))
	for name, one := range of {
		all[name] = one.Tokens
	}
	return all
}

// Public returns the current and the next public key of every OAuth key, always in one order.
func (k *Keys) Public() []auth.Key {
	var keys []auth.Key
	for _, one := range k.All() {
		if one.OAuth != nil {
			keys = append(keys, one.OAuth.Keys()...)
		}
	}
	return keys
}

// Distinct refuses two different keys of one kid: a server would know only one of them.
func Distinct(keys []auth.Key) error {
	seen := make(map[string]string, len(keys))
	for _, k := range keys {
		if have, ok := seen[k.ID()]; ok && have != k.Thumbprint() {
			return config.Mistakef("kid %q: two different keys have it; give each key a kid of its own", k.ID())
		}
		seen[k.ID()] = k.Thumbprint()
	}
	return nil
}

func (k *Keys) make(c *config.Config, name string) (*Key, error) {
	of := c.Keys[name]
	one := &Key{Name: name, Config: withoutSecrets(of), inline: inlineSecrets(of), kid: configuredKID(c, name, "kid", of.KID), nextKID: configuredKID(c, name, "next.kid", of.Next.KID)}
	var minter auth.Minter
	var err error
	if of.Type == config.KeyLegacy {
		one.Legacy, err = auth.NewLegacy(of.APIKey.Reveal(), of.Secret, auth.LegacyConfig{
			URL: c.Redox.LegacyURL, PerRequest: of.Mode == config.ModePerRequest, Transport: k.options.Transport, Name: name, Logger: k.options.Logger})
		minter = one.Legacy
	} else {
		one.OAuth, err = k.oauth(c, name, of)
		minter = one.OAuth
	}
	if err != nil {
		return nil, err
	}
	one.Tokens, err = auth.NewCache(minter, auth.CacheConfig{
		Pool: of.Pool, PerRequest: of.Mode == config.ModePerRequest, Name: name, Logger: k.options.Logger, Metrics: k.metrics,
		Observe: func(usable bool) { k.observe(name, usable) }})
	return one, err
}

func (k *Keys) observe(name string, usable bool) {
	if k.options.Observe != nil {
		k.options.Observe(name, usable)
	}
}

// configuredKID is the kid of a key as somebody wrote it, "" when it came with the key.
func configuredKID(c *config.Config, name, field, kid string) string {
	if c.Origin("keys."+name+"."+field) == "default" {
		return ""
	}
	return kid
}

// withoutSecrets is the key without what a rotation replaces.
func withoutSecrets(k config.Key) config.Key {
	k.PrivateKey, k.Next.PrivateKey, k.APIKey, k.Secret = config.Secret{}, config.Secret{}, config.Secret{}, config.Secret{}
	return k
}

// WithoutKeySecrets copies the configuration without the secrets of keys. The copy serves for the
// life of a process after its credentials were made, so that a secret does not outlive its
// replacement.
func WithoutKeySecrets(c *config.Config) *config.Config {
	rest := *c
	rest.Keys = make(map[string]config.Key, len(c.Keys))
	for name, k := range c.Keys {
		rest.Keys[name] = withoutSecrets(k)
	}
	return &rest
}

func (k *Keys) oauth(c *config.Config, name string, of config.Key) (*auth.OAuth, error) {
	key, next, err := SigningKeys(of)
	if err != nil {
		return nil, err
	}
	return auth.NewOAuth(of.ClientID, key, auth.OAuthConfig{
		TokenURL: c.Redox.TokenURL, Audience: of.Audience, Scope: of.Scope, Algorithm: auth.Algorithm(of.Algorithm), Next: next,
		Transport: k.options.Transport, Name: name, Logger: k.options.Logger, Metrics: k.metrics})
}

// SigningKeys returns the current and the next key pair of an OAuth key, as they sign with its
// algorithm; next may be zero.
func SigningKeys(k config.Key) (key, next auth.Key, err error) {
	if key, err = signingKey(k.PrivateKey, k.KID, k.Algorithm); err != nil {
		return key, next, fmt.Errorf("private_key: %w", err)
	}
	if k.Next.PrivateKey.IsSet() {
		if next, err = signingKey(k.Next.PrivateKey, k.Next.KID, k.Algorithm); err != nil {
			return key, next, fmt.Errorf("next.private_key: %w", err)
		}
	}
	return key, next, nil
}

func signingKey(text config.Secret, kid, algorithm string) (auth.Key, error) {
	k, err := auth.ParsePrivateKey([]byte(text.Reveal()), kid)
	if err != nil {
		return k, err
	}
	return k.With(auth.Algorithm(algorithm))
}
