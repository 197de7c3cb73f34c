package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/deploy/internal/certificates"
)

// bring makes the files of the secret of a container: those of a worker production/redoxworker.yaml names,
// those of console and relay their own folders.
func bring(t *testing.T, dir, container string) {
	t.Helper()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := certificates.Write(t.TempDir())
	if err == nil {
		err = os.Rename(files.CA, filepath.Join(dir, "nats-ca.pem"))
	}
	if err != nil {
		t.Fatal(err)
	}
	switch container {
	case "console":
		write("nats-console-password", "a")
		write("console-users", "ann:$2y$05$abcdefghijklmnopqrstuv")
		write("console-session-key", strings.Repeat("k", 64))
	case "relay":
		write("nats-relay-password", "a")
		write("outbox-dsn", "postgres://u@db/app")
		write("order-secret", strings.Repeat("s", 32))
	default:
		key, err := auth.GenerateKey(auth.ES384, "redoxworker-1")
		if err == nil {
			err = auth.WriteKeyFile(filepath.Join(dir, "redox-main-key"), key)
		}
		if err != nil {
			t.Fatal(err)
		}
		write("nats-password", "a")
		write("order-secret", strings.Repeat("s", 32))
	}
}
