package main

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/checkcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

func TestKeyOfFile_IDs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := auth.GenerateKey(auth.ES384, "inside")
	if err != nil {
		t.Fatal(err)
	}
	pem, jwk := filepath.Join(dir, "key.pem"), filepath.Join(dir, "key.jwk")
	for _, path := range []string{pem, jwk} {
		if err := auth.WriteKeyFile(path, key); err != nil {
			t.Fatal(err)
		}
	}
	for arg, want := range map[string]string{
		pem: key.Thumbprint(), "given=" + pem: "given", jwk: "inside", "inside=" + jwk: "inside",
	} {
		got, err := keyOfFile(arg)
		if err != nil || got.ID() != want {
			t.Errorf("%s: kid %q, %v; want %q", arg, got.ID(), err, want)
		}
	}
	if _, err := keyOfFile("other=" + jwk); !errors.Is(err, auth.ErrKey) {
		t.Errorf("a kid that contradicts the file's: %v", err)
	}
}

func TestKeysOfFiles_ReportsEachBadFile(t *testing.T) {
	t.Parallel()
	_, err := keysOfFiles([]string{"no-such-1.pem", "no-such-2.pem"})
	var usage cli.UsageError
	if !errors.As(err, &usage) {
		t.Fatalf("error %v is no usage error", err)
	}
	const want = "auth: private key: open no-such-1.pem: no such file or directory\nauth: private key: open no-such-2.pem: no such file or directory"
	if err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestCheckedKey_Line(t *testing.T) {
	t.Parallel()
	good := auth.KeyCheck{Role: "current", KeyID: "k", Algorithm: auth.RS384, Lifetime: 5 * time.Minute, Expires: time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC), Took: 120400 * time.Microsecond, SkewKnown: true}
	off := good
	off.Skew, off.Warning = 7*time.Second, "this host's clock is 7s ahead"
	for want, r := range map[string]checkcmd.KeyResult{
		`✓ main (current, RS384, kid "k"): token for 5m0s (until 2026-03-01T12:05:00Z), had in 120ms; clock right to the second`:                                              {Key: "main", OK: true, KeyCheck: good},
		`✓ main (current, RS384, kid "k"): token for 5m0s (until 2026-03-01T12:05:00Z), had in 120ms; clock 7s ahead of the server's; warning: this host's clock is 7s ahead`: {Key: "main", OK: true, KeyCheck: off},
		`✗ old: auth: refused; ask for another secret`: {Key: "old", KeyCheck: auth.KeyCheck{Role: "legacy", Mend: "ask for another secret"}, Error: "auth: refused"},
		`✗ old: auth: refused: set the clock`:          {Key: "old", KeyCheck: auth.KeyCheck{Role: "legacy", Mend: "set the clock"}, Error: "auth: refused: set the clock"},
	} {
		if got := r.String(); got != want {
			t.Errorf("line %q, want %q", got, want)
		}
	}
}

// newPrivateKeys makes key pairs and returns their private halves as PEM.
func newPrivateKeys(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		key, err := auth.GenerateKey(auth.ES384, "k")
		if err != nil {
			t.Fatal(err)
		}
		pem, err := key.MarshalPEM()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(pem))
	}
	return all
}
