package access

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
)

// files that hold this key's secrets, and change when it is rotated.
func (k *Key) files() []string {
	var files []string
	for _, f := range []string{k.Config.PrivateKeyFile, k.Config.Next.PrivateKeyFile, k.Config.SecretFile, k.Config.APIKeyFile} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// read puts to use what the key's files hold now. On an error what was in use stays so.
func (k *Key) read() error {
	if k.Legacy != nil {
		return k.readLegacy()
	}
	key, next := k.OAuth.Keys()[0], auth.Key{}
	if keys := k.OAuth.Keys(); len(keys) > 1 {
		next = keys[1]
	}
	var err error
	if file := k.Config.PrivateKeyFile; file != "" {
		if key, err = auth.ReadKeyFile(file, k.kid); err != nil {
			return fmt.Errorf("keys.%s.private_key_file: %w", k.Name, err)
		}
	}
	if file := k.Config.Next.PrivateKeyFile; file != "" {
		if next, err = auth.ReadKeyFile(file, k.nextKID); err != nil {
			return fmt.Errorf("keys.%s.next.private_key_file: %w", k.Name, err)
		}
	}
	if err := k.OAuth.SetKeys(key, next); err != nil {
		return fmt.Errorf("keys.%s: %w", k.Name, err)
	}
	return nil
}

// readLegacy is read of a legacy key; what has no file stays as it is.
func (k *Key) readLegacy() (err error) {
	var apiKey, secret auth.Secret
	if file := k.Config.APIKeyFile; file != "" {
		if apiKey, err = auth.ReadSecretFile(file); err != nil {
			return fmt.Errorf("keys.%s.api_key_file: %w", k.Name, err)
		}
	}
	if file := k.Config.SecretFile; file != "" {
		if secret, err = auth.ReadSecretFile(file); err != nil {
			return fmt.Errorf("keys.%s.secret_file: %w", k.Name, err)
		}
	}
	if err := k.Legacy.SetCredentials(apiKey, secret); err != nil {
		return fmt.Errorf("keys.%s: %w", k.Name, err)
	}
	return nil
}

// watcher of the key's files, nil when it has none. The files are read once more after
// the watch began, for a change since the configuration was read.
func (k *Keys) watcher(one *Key) (*auth.Watcher, error) {
	files, log := one.files(), k.options.Logger
	if len(files) == 0 {
		return nil, nil
	}
	watcher, err := auth.NewWatcher(files, func() error {
		if err := one.read(); err != nil {
			return err
		}
		for _, file := range files {
			if line := auth.Exposure(file); line != "" {
				log.Warn("a key or secret file is open to others", "key", one.Name, "detail", line)
			}
		}
		one.Tokens.Renew()
		k.observe(one.Name, true) // or soon: whoever asks now waits for the new token
		return nil
	}, auth.WatcherConfig{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("keys.%s: watching its files: %w", one.Name, err)
	}
	if err := one.read(); err != nil {
		log.Error("a key or secret file cannot be used any more, what it held before stays in use", "key", one.Name, "error", err)
	}
	return watcher, nil
}

// Run renews the tokens of every key in the background, and reloads keys whose files
// change, until ctx ends. No token is asked for before from is closed: the quota that its
// request counts in is kept where there is no connection yet. A key that nothing uses is
// asked for none at all.
func (k *Keys) Run(ctx context.Context, from <-chan struct{}) error {
	var watchers []*auth.Watcher
	for _, one := range k.all {
		watcher, err := k.watcher(one)
		if err != nil {
			return err
		}
		if watcher != nil {
			watchers = append(watchers, watcher)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	k.warnUnused()
	for name, one := range k.all {
		if !k.config.UsesKey(name) {
			continue
		}
		group.Go(func() error {
			select {
			case <-from:
			case <-ctx.Done():
			}
			return one.Tokens.Run(ctx)
		})
	}
	for _, watcher := range watchers {
		group.Go(func() error { return watcher.Run(ctx) })
	}
	return group.Wait()
}

// warnUnused names the keys that nothing uses, once. A user-level key may be there for
// people alone, who ask with it for logs.
func (k *Keys) warnUnused() {
	var names []string
	for _, one := range k.All() {
		if !k.config.UsesKey(one.Name) && one.Config.Type != config.KeyUser {
			names = append(names, one.Name)
		}
	}
	if len(names) > 0 {
		k.options.Logger.Warn("no source uses these keys, and no token is asked for with them: remove them, or name them in a source", "keys", names)
	}
}
