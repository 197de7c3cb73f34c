package devstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
)

func TestDevFiles_KeyAndSecretAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
		return string(text)
	}
	f, err := newDevFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, secret := read(f.key), read(f.secret)
	if f, err = newDevFiles(dir); err != nil {
		t.Fatal(err)
	}
	if read(f.key) != key || read(f.secret) != secret {
		t.Error("a second start made another key or secret")
	}
	if k, err := auth.ReadKeyFile(f.key, devKID); err != nil || k.Algorithm() != auth.ES384 {
		t.Errorf("key %v, %v", k, err)
	}
	if len(strings.TrimSpace(secret)) < 32 {
		t.Errorf("a secret of %d characters", len(secret))
	}
	samples, err := filepath.Glob(filepath.Join(f.samples, "*.json"))
	if err != nil || len(samples) < 12 {
		t.Errorf("%d samples, %v", len(samples), err)
	}
	other, err := newDevFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if read(other.secret) == secret {
		t.Error("two directories have the same secret")
	}
}

func TestDevFiles_Unwritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newDevFiles(file); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestDevFiles_ConfigLoads(t *testing.T) {
	t.Parallel()
	f, err := newDevFiles(filepath.Join(t.TempDir(), `a "quoted" dir: #1`))
	if err != nil {
		t.Fatal(err)
	}
	for admin, platform := range map[string]bool{"127.0.0.1:8466": false, "off": true} {
		if err := writeConfig(f.config, f.configText("nats://127.0.0.1:4222", "http://127.0.0.1:8467", admin, platform)); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{File: f.config})
		if err != nil {
			t.Fatal(err)
		}
		if user, err := c.UserKey(""); (err == nil) != platform || platform && c.Sources["platform"].Key != user {
			t.Errorf("user-level key %q: %v", user, err)
		}
		if len(c.Sources) < 2 || c.Sources["clinic-a"].ID != devSourceA || c.Keys["main"].PrivateKeyFile != f.key ||
			!c.Order.Secret.IsSet() || !c.Gateway.Enabled || (c.Admin.Listen == "") != (admin == "off") {
			t.Errorf("admin %s: %s", admin, c.YAML())
		}
		if w := c.Warnings(); len(w) > 0 {
			t.Errorf("warnings %v", w)
		}
	}
}

func TestWriteConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := []byte(devConfigMark + "\nnats: {}\n")
	for name, tt := range map[string]struct {
		before string
		fails  bool
	}{
		"new": {}, "empty": {before: ""}, "our own": {before: devConfigMark + " earlier"}, "a person's": {before: "nats: {}\n", fails: true},
	} {
		path := filepath.Join(dir, name)
		if name != "new" {
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := writeConfig(path, text)
		after, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if tt.fails != (err != nil) || tt.fails && string(after) != tt.before || !tt.fails && string(after) != string(text) {
			t.Errorf("%s: %v, then %q", name, err, after)
		}
	}
	if err := writeConfig(dir, text); err == nil {
		t.Error("a directory was written over")
	}
}
