package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
)

// credentials of one configured key.
type credentials struct {
	name  string
	key   config.Key
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
	c := &credentials{name: name, key: k}
	var minter auth.Minter
	var err error
	if k.Type == config.KeyLegacy {
		c.legacy, err = auth.NewLegacy(k.APIKey.Reveal(), auth.NewSecret(k.Secret.Reveal()), auth.LegacyConfig{
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
		Pool: k.Pool, PerRequest: k.Mode == config.ModePerRequest, Name: name, Logger: w.log, Registerer: w.registerer})
	return c, err
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

// files that hold this key's secrets, and change when it is rotated.
func (c *credentials) files() []string {
	var files []string
	for _, f := range []string{c.key.PrivateKeyFile, c.key.Next.PrivateKeyFile, c.key.SecretFile, c.key.APIKeyFile} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// reload reads the key's files again. On an error the old key stays in use.
func (c *credentials) reload() error {
	if c.legacy != nil {
		secret, err := auth.ReadSecretFile(c.key.SecretFile)
		if err != nil {
			return fmt.Errorf("keys.%s.secret_file: %w", c.name, err)
		}
		if err := c.legacy.SetSecret(secret); err != nil {
			return err
		}
		c.cache.Renew()
		return nil
	}
	key, next := c.oauth.Keys()[0], auth.Key{}
	if keys := c.oauth.Keys(); len(keys) > 1 {
		next = keys[1]
	}
	var err error
	if file := c.key.PrivateKeyFile; file != "" {
		if key, err = auth.ReadKeyFile(file, c.key.KID); err != nil {
			return fmt.Errorf("keys.%s.private_key_file: %w", c.name, err)
		}
	}
	if file := c.key.Next.PrivateKeyFile; file != "" {
		if next, err = auth.ReadKeyFile(file, c.key.Next.KID); err != nil {
			return fmt.Errorf("keys.%s.next.private_key_file: %w", c.name, err)
		}
	}
	if err := c.oauth.SetKeys(key, next); err != nil {
		return err
	}
	c.cache.Renew()
	return nil
}

// keep renews the tokens of every key in the background, and reloads keys whose files
// change, until ctx ends.
func (w wiring) keep(ctx context.Context, all map[string]*credentials) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range all {
		group.Go(func() error { return c.cache.Run(ctx) })
		if files := c.files(); len(files) > 0 && (c.legacy == nil || c.key.SecretFile != "") {
			watcher, err := auth.NewWatcher(files, c.reload, auth.WatcherConfig{Logger: w.log})
			if err != nil {
				return fmt.Errorf("keys.%s: watching its files: %w", c.name, err)
			}
			group.Go(func() error { return watcher.Run(ctx) })
		}
	}
	return group.Wait()
}
