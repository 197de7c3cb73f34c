package access

import (
	"fmt"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/filewatch"
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
func (k *Keys) watcher(one *Key) (*filewatch.Watcher, error) {
	files, log := one.files(), k.options.Logger
	if len(files) == 0 {
		return nil, nil
	}
	watcher, err := filewatch.New(files, func() error {
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
	}, filewatch.Config{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("keys.%s: watching its files: %w", one.Name, err)
	}
	if err := one.read(); err != nil {
		log.Error("a key or secret file cannot be used any more, what it held before stays in use", "key", one.Name, "error", err)
	}
	return watcher, nil
}
