package auth

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth/filewatch"
)

// write puts a file into a directory of the test's own.
func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k, err := ReadKeyFile(write(t, dir, "key.pem", pkcs8(ecNumbers())), "k1")
	if err != nil || !sameKey(k, ecKey("k1")) {
		t.Errorf("%v, %v", k, err)
	}
	k, err = ReadKeyFile(write(t, dir, "key.jwk", jwkOf(rsaKey("j1"), nil)), "")
	if err != nil || k.ID() != "j1" {
		t.Errorf("%v, %v", k, err)
	}
	_, err = ReadKeyFile(write(t, dir, "bad.pem", []byte("hunter2")), "k")
	if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "bad.pem: unusable private key") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("reads %q", err)
	}
	_, err = ReadKeyFile(filepath.Join(dir, "none.pem"), "k")
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("reads %q", err)
	}
	if _, err = ReadKeyFile(dir, "k"); err == nil {
		t.Error("a directory was read")
	}
}

func TestReadSecretFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := ReadSecretFile(write(t, dir, "a", []byte("\n  s3cr3t with space \r\n")))
	if err != nil || s.Reveal() != "s3cr3t with space" {
		t.Errorf("%v, %v", s, err)
	}
	if s, err = ReadSecretFile(write(t, dir, "marked", []byte("\ufeffs3cr3t\r\n"))); err != nil || s.Reveal() != "s3cr3t" {
		t.Errorf("with a byte order mark: %v", err)
	}
	for want, data := range map[string][]byte{"is empty": []byte(" \n"), "more than 65536": make([]byte, 70000)} {
		if _, err := ReadSecretFile(write(t, dir, "b", data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := ReadSecretFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestWriteKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, id := range map[string]string{"k.pem": "k1", "k.jwk": "", "k.json": ""} {
		path := filepath.Join(dir, name)
		if err := WriteKeyFile(path, ecKey("k1")); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || Exposure(path) != "" {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
		if k, err := ReadKeyFile(path, id); err != nil || !sameKey(k, ecKey("k1")) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
		if err := WriteKeyFile(path, rsaKey("k2")); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s was replaced: %v", name, err)
		}
	}
	if err := WriteKeyFile(filepath.Join(dir, "zero"), Key{}); !errors.Is(err, ErrKey) {
		t.Errorf("got %v", err)
	}
}

func TestExposure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, dir, "key.pem", []byte("x"))
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for mode, bad := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o700: false, 0o640: true, 0o440: true, 0o604: true, 0o666: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{path, link} {
			if got := Exposure(p); (got != "") != bad || bad && !strings.Contains(got, "chmod 600") {
				t.Errorf("mode %#o: %q", mode, got)
			}
		}
	}
	if Exposure(filepath.Join(dir, "none")) != "" {
		t.Error("a missing file is exposed")
	}
}

// TestKeyFile_AChangeLeadsToANewToken is the whole way: a key file is
// replaced, and tokens come by the new key.
func TestKeyFile_AChangeLeadsToANewToken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := write(t, dir, "key.jwk", jwkOf(rsaKey("old"), nil))
	s := newStandIn(t, ecKey("new")) // the old key is withdrawn already
	o := newTestOAuth(t, s, must(ReadKeyFile(file, "")), OAuthConfig{})
	c := startCache(t, o, CacheConfig{})
	done := make(chan string, 1)
	w := must(filewatch.New([]string{file}, func() error {
		k, err := ReadKeyFile(file, "")
		if err != nil {
			return err
		}
		if err := o.SetKeys(k, Key{}); err != nil {
			return err
		}
		c.Renew()
		_, err = c.Bearer(t.Context())
		done <- "renewed"
		return err
	}, filewatch.Config{Poll: time.Hour}))
	ctx, cancel := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() { _ = w.Run(ctx) })
	t.Cleanup(func() { cancel(); ran.Wait() })
	if _, err := c.Bearer(t.Context()); err == nil {
		t.Fatal("the withdrawn key was taken")
	}
	write(t, dir, "key.jwk", jwkOf(ecKey("new"), nil))
	<-done
	if got := c.Status(); !got.Usable || got.KeyID != "new" {
		t.Errorf("status %+v", got)
	}
}
