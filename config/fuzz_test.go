package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad feeds a file and one variable. Whatever they are, Load does not
// panic, names each problem on one line, does not show the marked secret, and
// reads back what it printed.
func FuzzLoad(f *testing.F) {
	f.Add(minimal, "NATS_URL", "nats://x", uint8(3))
	f.Add(everything, "KEYS_MAIN_NEXT_KID", "k", uint8(0))
	f.Add("order: {secret: hunter2-hunter2}", "SOURCES_A_B_HOLD", "a,b", uint8(3))
	f.Add("keys: &k {main: *k}", "QUOTA_PER", "1e9d", uint8(3))
	f.Add("sources: {a: &a {key: k}, b: {<<: *a}}", "REDOX_MAX_BODY", "9223372036854775807kB", uint8(3))
	f.Add("reply: {allow: ['{source}.>', '>']}", "REDOX_BASE_URL", "http://[::1", uint8(3))
	for _, w := range wrong {
		f.Add(w.text, "LOG_LEVEL", "debug", uint8(3))
	}
	dir := f.TempDir()
	write(f, dir, "key.pem", newPEM(f))
	write(f, dir, "secret.txt", "hunter2-hunter2")
	f.Fuzz(func(t *testing.T, text, name, value string, skip uint8) {
		own := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, link := range []string{"key.pem", "secret.txt"} {
			if err := os.Symlink(filepath.Join(dir, link), filepath.Join(filepath.Dir(own), link)); err != nil {
				t.Fatal(err)
			}
		}
		o := Options{File: own, Environ: []string{envPrefix + name + "=" + value}, Skip: Parts(skip)}
		c, err := Load(o)
		if err != nil {
			checkLines(t, err)
			return
		}
		printed := string(c.YAML())
		if strings.Contains(printed, redacted) {
			return
		}
		if err := os.WriteFile(own, []byte(printed), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := Load(Options{File: own, Skip: o.Skip})
		if err != nil {
			t.Fatalf("what was printed is refused: %v\n%s", err, printed)
		}
		if d := cmpConfigs(c, again); d != "" {
			t.Fatalf("(-loaded +printed and loaded)\n%s", d)
		}
	})
}

func checkLines(t *testing.T, err error) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 || len(problems) > 4*maxProblems {
		t.Fatalf("error is %T: %v", err, err)
	}
	for _, p := range problems {
		if line := p.String(); strings.ContainsAny(line, "\r\n") || p.Text == "" {
			t.Fatalf("not one line: %q", line)
		}
	}
	if strings.Contains(err.Error(), "hunter2-hunter2") {
		t.Fatalf("shows a secret: %v", err)
	}
}
