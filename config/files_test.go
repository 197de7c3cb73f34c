package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoad_PathsAreRelativeToTheFile(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal)
	dir := filepath.Dir(file)
	c := mustLoad(t, Options{File: file})
	if got, want := c.Keys["main"].PrivateKeyFile, filepath.Join(dir, "key.pem"); got != want {
		t.Errorf("in the file: %s, want %s", got, want)
	}
	_, err := Load(Options{File: file, Environ: []string{"REDOXWORKER_ORDER_SECRET_FILE=secret.txt"}})
	if err == nil || !strings.HasPrefix(err.Error(), `order.secret_file: file "secret.txt" does not exist`) {
		t.Errorf("in the environment, relative to the working directory: %v", err)
	}
	c = mustLoad(t, Options{File: file, Flags: map[string]any{"order.secret_file": filepath.Join(dir, "secret.txt")}})
	if c.Order.Secret.Reveal() != "s3cr3t-from-file" {
		t.Error("the secret was not read, or its white space not trimmed")
	}
	if files := c.Files(); !slices.Equal(files, []string{filepath.Join(dir, "key.pem"), file, filepath.Join(dir, "secret.txt")}) {
		t.Errorf("files: %v", files)
	}
}

// The audit file may not be there yet; its path is as relative as any other.
func TestLoad_PathOfTheAuditFile(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal+"audit: {file: audit.jsonl}\n")
	c := mustLoad(t, Options{File: file})
	if want := filepath.Join(filepath.Dir(file), "audit.jsonl"); c.Audit.File != want || slices.Contains(c.Files(), want) {
		t.Errorf("%s, files %v, want %s", c.Audit.File, c.Files(), want)
	}
	if c = mustLoad(t, Options{File: file, Flags: map[string]any{"audit.file": "other.jsonl"}}); c.Audit.File != "other.jsonl" {
		t.Errorf("on the command line: %s", c.Audit.File)
	}
}

func TestLoad_WarnsOfFilesThatOthersCanUse(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal+"order: {secret: by-value-of-more-than-16}\nnats: {tls: {ca_file: key.pem, cert_file: key.pem, key_file: key.pem}}\n")
	dir := filepath.Dir(file)
	chmod := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	warned := func() (keys []string) {
		for _, w := range mustLoad(t, Options{File: file}).Warnings() {
			keys = append(keys, w.Key)
		}
		return keys
	}
	if got := warned(); got != nil {
		t.Errorf("mode 0600: %v", got)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o444, 0o620, 0o602} {
		chmod("key.pem", mode)
		if got, want := warned(), []string{"keys.main.private_key_file", "nats.tls.key_file"}; !slices.Equal(got, want) {
			t.Errorf("mode %o: %v, want %v", mode, got, want)
		}
	}
	chmod("key.pem", 0o600)
	chmod("redoxworker.yaml", 0o644)
	if got, want := warned(), []string{"order.secret"}; !slices.Equal(got, want) {
		t.Errorf("secret in an open file: %v, want %v", got, want)
	}
}

// What systemd hands over has mode 0440 and is for the service alone.
func TestLoad_DoesNotWarnOfCredentials(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal+"order: {secret: by-value-of-more-than-16}\n")
	dir := filepath.Dir(file)
	for _, name := range []string{"redoxworker.yaml", "key.pem"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	for credentials, want := range map[string]int{dir: 0, dir + "/": 0, filepath.Dir(dir): 2, "": 2} {
		c := mustLoad(t, Options{File: file, Environ: []string{"CREDENTIALS_DIRECTORY=" + credentials}})
		if got := c.Warnings(); len(got) != want {
			t.Errorf("CREDENTIALS_DIRECTORY=%s: %v, want %d warnings", credentials, got, want)
		}
	}
}

// Addresses may hold secrets too, and the warnings have one order.
func TestLoad_WarnsOfAddressesWithPasswords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"nats: {url: \"nats://127.0.0.1:4222\"}\nredox: {proxy_url: \"http://127.0.0.1:3128\"}\n":                                                    nil,
		"nats: {url: \"nats://a:pa55@127.0.0.1:4222,nats://b\"}\n":                                                                                   {"nats.url"},
		"nats: {url: \"nats://t0ken@127.0.0.1:4222\"}\norder: {secret: by-value-of-more-than-16}\nredox: {proxy_url: \"http://a:pa55@127.0.0.1\"}\n": {"nats.url", "order.secret", "redox.proxy_url"},
	} {
		file := writeConfig(t, minimal+text)
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			var got []string
			for _, w := range mustLoad(t, Options{File: file}).Warnings() {
				got = append(got, w.Key)
				if strings.Contains(w.String(), "pa55") {
					t.Errorf("a password is shown: %v", w)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: warnings about %v, want %v", text, got, want)
			}
		}
	}
}

func TestReadSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full := write(t, dir, "full", strings.Repeat("x", maxFile))
	large := write(t, dir, "large", strings.Repeat("x", maxFile+1))
	link := filepath.Join(dir, "link")
	if err := os.Symlink(full, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{full: "", link: "", large: "is larger than 1 MiB", dir: "is a directory", os.DevNull: "is a device", dir + "/none": "does not exist",
		full + "/below": "cannot be read: not a directory"} {
		text, _, err := readSmall(path)
		switch {
		case want == "" && (err != nil || len(text) != maxFile):
			t.Errorf("%s: %d bytes, %v", path, len(text), err)
		case want != "" && (err == nil || reason(err) != want):
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	if got := reason(os.ErrPermission); got != "may not be read by this user" {
		t.Error(got)
	}
}
