package main

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
)

// credentials of one configured key.
type credentials struct {
	name string
	key  config.Key // its names and paths; the secrets are in oauth or legacy
	// kid and nextKID are as configured, "" when the key file says them: another
	// key may then stand in it.
	kid, nextKID string

	cache *auth.Cache
	// One of the two is nil.
	oauth  *auth.OAuth
	legacy *auth.Legacy
}

// credentials of every configured key, by name. All problems are reported at once.
func (w wiring) credentials(transport http.RoundTripper) (map[string]*credentials, error) {
	all := make(map[string]*credentials, len(w.config.Keys))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(w.config.Keys)) {
		c, err := w.credential(name, w.config.Keys[name], transport)
		if err != nil {
			errs = append(errs, usagef("keys.%s: %w", name, err))
			continue
		}
		all[name] = c
	}
	return all, errors.Join(errs...)
}

func (w wiring) credential(name string, k config.Key, transport http.RoundTripper) (*credentials, error) {
	c := &credentials{name: name, key: withoutSecrets(k), kid: w.configuredKID(name, "kid", k.KID), nextKID: w.configuredKID(name, "next.kid", k.Next.KID)}
	var minter auth.Minter
	var err error
	if k.Type == config.KeyLegacy {
		c.legacy, err = auth.NewLegacy(k.APIKey.Reveal(), k.Secret, auth.LegacyConfig{
			URL: w.config.Redox.LegacyURL, Transport: transport, Name: name, Logger: w.log})
		minter = c.legacy
	} else {
		c.oauth, err = w.oauth(name, k, transport)
		minter = c.oauth
	}
	if err != nil {
		return nil, err
	}
	c.cache, err = auth.NewCache(minter, auth.CacheConfig{
		Pool: k.Pool, PerRequest: k.Mode == config.ModePerRequest, Name: name, Logger: w.log, Registerer: w.registerer,
		Observe: func(usable bool) {
			if w.tokens != nil {
				w.tokens(name, usable)
			}
		}})
	return c, err
}

// configuredKID is the kid of a key as somebody wrote it, "" when it came with the key.
func (w wiring) configuredKID(name, field, kid string) string {
	if w.config.Origin("keys."+name+"."+field) == "default" {
		return ""
	}
	return kid
}

// withoutSecrets is the key without what a rotation replaces.
func withoutSecrets(k config.Key) config.Key {
	k.PrivateKey, k.Next.PrivateKey, k.APIKey, k.Secret = config.Secret{}, config.Secret{}, config.Secret{}, config.Secret{}
	return k
}

// withoutKeySecrets is the configuration for the life of a process, after its credentials
// were made: what they replace when a file changes must not live on in it.
func withoutKeySecrets(c *config.Config) *config.Config {
	rest := *c
	rest.Keys = make(map[string]config.Key, len(c.Keys))
	for name, k := range c.Keys {
		rest.Keys[name] = withoutSecrets(k)
	}
	return &rest
}

func (w wiring) oauth(name string, k config.Key, transport http.RoundTripper) (*auth.OAuth, error) {
	key, next, err := signingKeys(k)
	if err != nil {
		return nil, err
	}
	return auth.NewOAuth(k.ClientID, key, auth.OAuthConfig{
		TokenURL: w.config.Redox.TokenURL, Audience: k.Audience, Scope: k.Scope, Algorithm: auth.Algorithm(k.Algorithm), Next: next,
		Transport: transport, Name: name, Logger: w.log, Registerer: w.registerer})
}

// signingKeys are the current and the next key pair of an OAuth key; next may be zero.
func signingKeys(k config.Key) (key, next auth.Key, err error) {
	if key, err = auth.ParsePrivateKey([]byte(k.PrivateKey.Reveal()), k.KID); err != nil {
		return key, next, fmt.Errorf("private_key: %w", err)
	}
	if k.Next.PrivateKey.IsSet() {
		if next, err = auth.ParsePrivateKey([]byte(k.Next.PrivateKey.Reveal()), k.Next.KID); err != nil {
			return key, next, fmt.Errorf("next.private_key: %w", err)
		}
	}
	return key, next, nil
}
