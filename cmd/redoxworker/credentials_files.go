package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
)

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

// read puts to use what the key's files hold now. On an error what was in use stays so.
func (c *credentials) read() error {
	if c.legacy != nil {
		return c.readLegacy()
	}
	key, next := c.oauth.Keys()[0], auth.Key{}
	if keys := c.oauth.Keys(); len(keys) > 1 {
		next = keys[1]
	}
	var err error
	if file := c.key.PrivateKeyFile; file != "" {
		if key, err = auth.ReadKeyFile(file, c.kid); err != nil {
			return fmt.Errorf("keys.%s.private_key_file: %w", c.name, err)
		}
	}
	if file := c.key.Next.PrivateKeyFile; file != "" {
		if next, err = auth.ReadKeyFile(file, c.nextKID); err != nil {
			return fmt.Errorf("keys.%s.next.private_key_file: %w", c.name, err)
		}
	}
	if err := c.oauth.SetKeys(key, next); err != nil {
		return fmt.Errorf("keys.%s: %w", c.name, err)
	}
	return nil
}

// readLegacy is read of a legacy key; what has no file stays as it is.
func (c *credentials) readLegacy() (err error) {
	var apiKey, secret auth.Secret
	if file := c.key.APIKeyFile; file != "" {
		if apiKey, err = auth.ReadSecretFile(file); err != nil {
			return fmt.Errorf("keys.%s.api_key_file: %w", c.name, err)
		}
	}
	if file := c.key.SecretFile; file != "" {
		if secret, err = auth.ReadSecretFile(file); err != nil {
			return fmt.Errorf("keys.%s.secret_file: %w", c.name, err)
		}
	}
	if err := c.legacy.SetCredentials(apiKey, secret); err != nil {
		return fmt.Errorf("keys.%s: %w", c.name, err)
	}
	return nil
}

// watcher of the key's files, nil when it has none. The files are read once more after
// the watch began, for a change since the configuration was read.
func (w wiring) watcher(c *credentials) (*auth.Watcher, error) {
	files := c.files()
	if len(files) == 0 {
		return nil, nil
	}
	watcher, err := auth.NewWatcher(files, func() error {
		if err := c.read(); err != nil {
			return err
		}
		for _, file := range files {
			if line := auth.Exposure(file); line != "" {
				w.log.Warn("a key or secret file is open to others", "key", c.name, "detail", line)
			}
		}
		c.cache.Renew()
		if w.tokens != nil {
			w.tokens(c.name, true) // or soon: whoever asks now waits for the new token
		}
		return nil
	}, auth.WatcherConfig{Logger: w.log})
	if err != nil {
		return nil, fmt.Errorf("keys.%s: watching its files: %w", c.name, err)
	}
	if err := c.read(); err != nil {
		w.log.Error("a key or secret file cannot be used any more, what it held before stays in use", "key", c.name, "error", err)
	}
	return watcher, nil
}

// keep renews the tokens of every key in the background, and reloads keys whose files
// change, until ctx ends. A key that nothing uses is asked for no token. No token is asked for before from is closed: the quota that its
// request counts in is kept where there is no connection yet.
func (w wiring) keep(ctx context.Context, all map[string]*credentials, from <-chan struct{}) error {
	var watchers []*auth.Watcher
	for _, c := range all {
		watcher, err := w.watcher(c)
		if err != nil {
			return err
		}
		if watcher != nil {
			watchers = append(watchers, watcher)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	w.warnUnused(all)
	for name, c := range all {
		if !w.config.UsesKey(name) {
			continue
		}
		group.Go(func() error {
			select {
			case <-from:
			case <-ctx.Done():
			}
			return c.cache.Run(ctx)
		})
	}
	for _, watcher := range watchers {
		group.Go(func() error { return watcher.Run(ctx) })
	}
	return group.Wait()
}

// warnUnused names the keys that nothing uses, once. A user-level key may be there for
// people alone, who ask with it for logs.
func (w wiring) warnUnused(all map[string]*credentials) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !w.config.UsesKey(name) && w.config.Keys[name].Type != config.KeyUser {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		w.log.Warn("no source uses these keys, and no token is asked for with them: remove them, or name them in a source", "keys", names)
	}
}
