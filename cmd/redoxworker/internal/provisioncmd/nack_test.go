package provisioncmd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// printed is what is printed for a configuration.
func printed(t *testing.T, o config.Options) string {
	t.Helper()
	o.Skip = cli.NATSOnly
	c, err := config.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := writeNACK(&text, c); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// deploy/nats/nack.yaml, which tests try, is what is printed for the configuration of kubernetes/production.
func TestNACK_IsThatOfDeploy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // with the files that the configuration names
	text, err := os.ReadFile("../../../../deploy/kubernetes/production/redoxworker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"config", "secrets"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "config/redoxworker.yaml")
	for name, text := range map[string][]byte{file: text, filepath.Join(dir, "secrets/nats-password"): []byte("a"), filepath.Join(dir, "secrets/nats-ca.pem"): []byte("a")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("../../../../deploy/nats/nack.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := printed(t, config.Options{File: file}); got != string(want) {
		t.Errorf("deploy/nats/nack.yaml is another; print it anew:\n%s", got)
	}
}

// The stream that republishes is no resource, whatever its prefix is; no password of a URL is printed; and
// the job has another name when it makes something else.
func TestNACK_OfAnyConfiguration(t *testing.T) {
	t.Parallel()
	plain := printed(t, config.Options{})
	other := printed(t, config.Options{Flags: map[string]any{"nats.prefix": "team", "nats.url": "nats://u:s3cret@a:4222,nats://t0ken@b:4222", "audit.max_age": "1h"}})
	for _, text := range []string{plain, other} {
		if strings.Contains(text, "_OUT\n") || strings.Contains(text, "republish:") || strings.Count(text, "preventDelete: true") != strings.Count(text, "kind: Stream\n") {
			t.Errorf("%s", text)
		}
	}
	if !strings.Contains(other, "STREAM.UPDATE.TEAM_OUT") || !strings.Contains(other, "team.wake.>") || strings.Contains(other, "REDOX_") || strings.Contains(other, "s3cret") || strings.Contains(other, "t0ken") {
		t.Errorf("%s", other)
	}
	name := func(text string) string {
		_, rest, _ := strings.Cut(text, "name: redoxworker-provision-")
		name, _, _ := strings.Cut(rest, "\n")
		return name
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	secured := printed(t, config.Options{Flags: map[string]any{"nats.tls.ca_file": ca, "nats.url": "u:s3cret@a:4222"}})
	if !strings.Contains(secured, "value: \"a:4222\"}") || !strings.Contains(secured, "nats-ca.pem\"}") || strings.Contains(secured, ca) {
		t.Errorf("%s", secured)
	}
	withoutCA := printed(t, config.Options{Flags: map[string]any{"nats.url": "a:4222"}})
	if name(plain) == name(other) || name(withoutCA) == name(secured) || name(plain) == "" {
		t.Errorf("the jobs are %s and %s, %s and %s", name(plain), name(other), name(withoutCA), name(secured))
	}
}
