package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/deploy/internal/certificates"
)

// bring makes the files of the secret that production/redoxworker.yaml names.
func bring(t *testing.T, dir string) {
	t.Helper()
	files, err := certificates.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.GenerateKey(auth.ES384, "redoxworker-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Rename(files.CA, filepath.Join(dir, "nats-ca.pem")),
		auth.WriteKeyFile(filepath.Join(dir, "redox-main-key"), key),
		os.WriteFile(filepath.Join(dir, "nats-password"), []byte("a"), 0o600),
		os.WriteFile(filepath.Join(dir, "order-secret"), []byte(strings.Repeat("s", 32)), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
