package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// keysCommand is about key pairs.
type keysCommand struct {
	New   keysNewCommand   `cmd:"" help:"Make a key pair and print its public half for Redox's dashboard."`
	JWKS  keysJWKSCommand  `cmd:"" name:"jwks" help:"Print, write or serve the set of public keys."`
	Check keysCheckCommand `cmd:"" help:"Ask for a token with each key, and say what is wrong."`
}

// configuredKeys are the current and next key pairs of the named key, or, without a name,
// of every configured key that has any.
func configuredKeys(c *config.Config, only string) ([]auth.Key, error) {
	var keys []auth.Key
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		if only != "" && name != only {
			continue
		}
		if c.Keys[name].Type == config.KeyLegacy {
			continue
		}
		key, next, err := access.SigningKeys(c.Keys[name])
		if err != nil {
			errs = append(errs, cli.Usagef("keys.%s.%w", name, err))
			continue
		}
		keys = append(keys, key)
		if !next.IsZero() {
			keys = append(keys, next)
		}
	}
	if len(keys) == 0 && len(errs) == 0 && only != "" {
		return nil, cli.Usagef("keys.%s: is a legacy key, which has no key pair; name another one", only)
	}
	if len(keys) == 0 && len(errs) == 0 {
		return nil, cli.Usagef("keys: none has a key pair, legacy keys do not; make one with redoxworker keys new, or name key files")
	}
	return keys, errors.Join(append(errs, access.Distinct(keys))...)
}

// keysOfFiles reads the private keys of FILE or KID=FILE arguments.
func keysOfFiles(args []string) ([]auth.Key, error) {
	var keys []auth.Key
	var errs []error
	for _, arg := range args {
		key, err := keyOfFile(arg)
		if err != nil {
			errs = append(errs, cli.Usagef("%w", err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(append(errs, access.Distinct(keys))...)
}

// keyOfFile reads a key. One without an id gets its thumbprint, as keys new gives it.
func keyOfFile(arg string) (auth.Key, error) {
	id, path := splitKeyFile(arg)
	key, err := auth.ReadKeyFile(path, id)
	if err != nil || key.ID() != "" {
		return key, err
	}
	return auth.ReadKeyFile(path, key.Thumbprint())
}

func splitKeyFile(arg string) (id, path string) {
	if id, path, ok := strings.Cut(arg, "="); ok {
		return id, path
	}
	return "", arg
}

// keyText names a key pair in a sentence.
func keyText(k auth.Key) string {
	return fmt.Sprintf("%s, kid %q", cmp.Or(string(k.Algorithm()), "no key"), k.ID())
}
