package conformance

import (
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"
)

// users of nats/accounts.conf, whose passwords are made anew in each run.
var users = []string{"operator", "worker", "gateway-client", "relay", "console", "clinic-a", "clinic-b", "nack"}

// password of a user, in the variable that accounts.conf takes it from.
func password(user string) string { return os.Getenv(passwordVar(user)) }

func passwordVar(user string) string {
	return "NATS_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
}

func TestMain(m *testing.M) {
	for _, user := range users {
		if err := os.Setenv(passwordVar(user), "p"+rand.Text()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if dir, err := program(); err == nil { // built by now, or for nobody
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}
