package auth

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/redoxworker/redoxworker/auth/internal/keyfile"
	"github.com/redoxworker/redoxworker/auth/secret"
)

// ReadKeyFile reads a private key from a file, as [ParsePrivateKey] does.
func ReadKeyFile(path, id string) (Key, error) {
	data, err := readFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("auth: private key: %w", err)
	}
	defer clear(data)
	k, err := ParsePrivateKey(data, id)
	if err != nil {
		return Key{}, fmt.Errorf("auth: %s: %w", path, unprefixed(err))
	}
	return k, nil
}

// ReadSecretFile reads a secret from a file, without the white space around it and
// without a byte order mark.
// An empty file is an error.
func ReadSecretFile(path string) (Secret, error) {
	data, err := readFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("auth: secret: %w", err)
	}
	defer clear(data)
	s := NewSecret(string(secret.Content(data)))
	if !s.IsSet() {
		return Secret{}, fmt.Errorf("auth: secret: %s is empty: write the secret into it", path)
	}
	return s, nil
}

// readFile reads a whole small file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // *fs.PathError names the file
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, keyfile.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > keyfile.MaxBytes {
		clear(data)
		return nil, fmt.Errorf("%s has more than %d bytes: is it the right file?", path, keyfile.MaxBytes)
	}
	return data, nil
}

// WriteKeyFile writes a private key as PKCS#8 PEM, or as JWK when the name ends
// in .json or .jwk, into a new file that only its owner can read. An existing
// file is never replaced.
func WriteKeyFile(path string, k Key) error {
	marshal := k.MarshalPEM
	if ext := filepath.Ext(path); ext == ".json" || ext == ".jwk" {
		marshal = k.MarshalJWK
	}
	data, err := marshal()
	if err != nil {
		return err
	}
	defer clear(data)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("auth: write key: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("auth: write key: %w", err)
	}
	return nil
}

// Exposure returns a line to log, with the mend, when others can use a key or secret file: see
// [secret.Exposed]. It returns "" when the file is safe or cannot be inspected. It follows
// symlinks.
func Exposure(path string) string {
	info, err := os.Stat(path)
	if err != nil || !secret.Exposed(info) {
		return ""
	}
	return fmt.Sprintf("%s has mode %#o, others than its owner can use it: chmod 600, or defaultMode 0440 of a Kubernetes volume with fsGroup", path, info.Mode().Perm())
}
