package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
)

// A token for each way of making a key known, through the command that tries tokens.
func TestSim_AcceptsItsKeys(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateKey(auth.RS384, "k1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, set := filepath.Join(dir, "key.json"), filepath.Join(dir, "jwks.json")
	if err := auth.WriteKeyFile(file, key); err != nil {
		t.Fatal(err)
	}
	text, err := auth.JWKS(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(set, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"key": {"--client-id", "c", "--key", file}, "set": {"--client-id", "c", "--jwks", set},
		"legacy": {"--legacy-key", "lk", "--legacy-secret", "s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := clitest.StartSim(t, run, args...)
			settings := []string{"--set", "keys.main.client_id=c", "--set", "keys.main.private_key_file=" + file}
			if name == "legacy" {
				settings = []string{"--set", "keys.main.type=legacy", "--set", "keys.main.api_key=lk", "--set", "keys.main.secret=s3cret"}
			}
			a, _, errs := clitest.App(append([]string{"token", "--set", "redox.base_url=" + p.URL}, settings...)...)
			if code := run(t.Context(), *a); code != cli.ExitOK {
				t.Errorf("token: exit %d, %s", code, errs)
			}
			if code := p.Stop(); code != cli.ExitOK {
				t.Errorf("sim: exit %d", code)
			}
			if log := p.Errs.String(); !strings.Contains(log, `"status":200`) || strings.Contains(log, "s3cret") || strings.Contains(log, "eyJ") {
				t.Errorf("log %s", log)
			}
			if len(p.Keys) != 1 || strings.Contains(strings.Join(p.Keys, ""), "s3cret") {
				t.Errorf("keys %q", p.Keys)
			}
		})
	}
}
