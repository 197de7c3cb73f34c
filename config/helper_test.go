package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// minimal has everything that is required; its key file is made by writeConfig.
const minimal = `
keys:
  main:
    client_id: client-1
    kid: kid-1
    private_key_file: key.pem
sources:
  clinic-a:
    id: 7ce6f387-c33c-417d-8682-81e83628cbd9
    key: main
`

// ignoreMeta compares settings without what Load knows about their origin.
var ignoreMeta = cmpopts.IgnoreUnexported(Config{})

func newPEM(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// write puts a file into dir, readable by its owner alone.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeConfig puts a YAML file into a directory that has key.pem and secret.txt.
func writeConfig(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "key.pem", newPEM(t))
	write(t, dir, "secret.txt", "  s3cr3t-from-file\n\n")
	return write(t, dir, "redoxworker.yaml", text)
}

func mustLoad(t testing.TB, o Options) *Config {
	t.Helper()
	c, err := Load(o)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

// problemsOf loads settings that must be refused. The directory of the file is
// cut from the lines.
func problemsOf(t testing.TB, o Options) []string {
	t.Helper()
	c, err := Load(o)
	var problems Problems
	if !errors.As(err, &problems) || c != nil {
		t.Fatalf("Load = %v, %v; want no Config and Problems", c, err)
	}
	text := err.Error()
	if o.File != "" {
		text = strings.ReplaceAll(text, filepath.Dir(o.File)+string(filepath.Separator), "")
	}
	return strings.Split(text, "\n")
}

func diff(t testing.TB, want, got any, opts ...cmp.Option) {
	t.Helper()
	if d := cmp.Diff(want, got, opts...); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func cmpConfigs(a, b *Config) string { return cmp.Diff(a, b, ignoreMeta) }
