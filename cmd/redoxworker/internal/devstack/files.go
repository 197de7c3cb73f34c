package devstack

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/redoxworker/redoxworker/auth"
)

// sampleFiles are small synthetic messages, and a file to upload. Nobody in them exists.
//
//go:embed samples/*.json samples/report.pdf
var sampleFiles embed.FS

// What demo and dev are configured with.
const (
	devClientID     = "redoxworker-dev"
	devUserClientID = "redoxworker-dev-user" // for the Platform API, with the same key pair
	devKID          = "dev"
	devOrganization = "redoxworker-dev"
	devSourceA      = "5e1c0de0-0000-4000-8000-00000000000a"
	devSourceB      = "5e1c0de0-0000-4000-8000-00000000000b"
	devSourceUser   = "5e1c0de0-0000-4000-8000-00000000000c" // asks the Platform API alone
)

// devFiles are the files of demo and dev, all in one directory. Key and secret are kept
// when they are there already.
type devFiles struct {
	dir string
	// absolute paths
	key, secret, samples, config string
}

// newDevFiles writes the key, the order secret and the samples into dir.
func newDevFiles(dir string) (devFiles, error) {
	f := devFiles{dir: dir, key: filepath.Join(dir, "key.pem"), secret: filepath.Join(dir, "order.secret"),
		samples: filepath.Join(dir, "samples"), config: filepath.Join(dir, "redoxworker.yaml")}
	if err := os.MkdirAll(f.samples, 0o700); err != nil {
		return f, err
	}
	return f, errors.Join(f.makeKey(), f.makeSecret(), f.writeSamples())
}

func (f devFiles) makeKey() error {
	if _, err := os.Stat(f.key); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := auth.GenerateKey(auth.ES384, devKID)
	if err != nil {
		return err
	}
	return auth.WriteKeyFile(f.key, key)
}

func (f devFiles) makeSecret() error {
	if _, err := os.Stat(f.secret); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	return os.WriteFile(f.secret, []byte(hex.EncodeToString(secret)+"\n"), 0o600)
}

func (f devFiles) writeSamples() error {
	return fs.WalkDir(sampleFiles, "samples", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := sampleFiles.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(f.dir, filepath.FromSlash(name)), body, 0o600)
	})
}

// devConfigMark begins a configuration file that may be written again.
const devConfigMark = "# Written by redoxworker dev"

// configText is a configuration that works against the running parts; with the Platform
// API it has a user-level key, and a source that uses it.
func (f devFiles) configText(nats, redox, admin string, platform bool) []byte {
	var key, source string
	if platform {
		key = fmt.Sprintf("  platform: {type: user, client_id: %s, kid: %s, private_key_file: %q}\n", devUserClientID, devKID, f.key)
		source = fmt.Sprintf("  platform: {id: %s, key: platform}\n", devSourceUser)
	}
	return fmt.Appendf(nil, `%s, for as long as that runs.
nats: {url: %q}
redox: {base_url: %q, blob_url: %q, organization_id: %s}
keys:
  main: {client_id: %s, kid: %s, private_key_file: %q}
%ssources:
  clinic-a: {id: %s, key: main}
  clinic-b: {id: %s, key: main}
%sorder: {secret_file: %q}
worker: {drain_timeout: 5s}
admin: {listen: %q}
`, devConfigMark, nats, redox, redox, devOrganization, devClientID, devKID, f.key, key, devSourceA, devSourceB, source, f.secret, admin)
}

// writeConfig writes a configuration, over one that dev wrote earlier and over no other file.
func writeConfig(path string, text []byte) error {
	old, err := os.ReadFile(path)
	switch {
	case err == nil && len(old) > 0 && !bytes.HasPrefix(old, []byte(devConfigMark)):
		return fmt.Errorf("%s is there and was not written by dev; choose another name", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return os.WriteFile(path, text, 0o600)
}
