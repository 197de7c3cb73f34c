package provisioncmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// deploy/nats/accounts.conf, whose rights tests try, is what is printed for its two sources.
func TestAccounts_AreThoseOfDeploy(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	if err := writeAccounts(&got, "", []string{"clinic-a", "clinic-b"}); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../../../deploy/nats/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		at := 0
		for at < min(got.Len(), len(want)) && got.Bytes()[at] == want[at] {
			at++
		}
		t.Errorf("deploy/nats/accounts.conf differs at byte %d; print it anew: %.80q, want %.80q", at, want[at:], got.Bytes()[at:])
	}
}

// nats-server takes what is printed for any number of sources and another prefix, with an account for
// each of them, and nothing of the usual prefix is left in it.
func TestAccounts_AreTakenByTheServer(t *testing.T) {
	for _, user := range []string{"OPERATOR", "WORKER", "GATEWAY_CLIENT", "RELAY", "CONSOLE"} {
		t.Setenv("NATS_"+user+"_PASSWORD", "p-"+user)
	}
	for _, n := range []int{1, 300} {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("clinic-%04d", i))
		}
		var text bytes.Buffer
		if err := writeAccounts(&text, contract.Prefix("team"), names); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text.String()) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && (strings.Contains(line, "REDOX_") || strings.Contains(line, "redox.")) {
				t.Fatalf("the prefix is not in %s", line)
			}
		}
		file := filepath.Join(t.TempDir(), "accounts.conf")
		if err := os.WriteFile(file, bytes.ReplaceAll(text.Bytes(), []byte("$NATS_CLINIC_"), []byte("p-")), 0o600); err != nil {
			t.Fatal(err)
		}
		opts, err := server.ProcessConfigFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(opts.Accounts) != n+2 || len(opts.Users) != n+5 {
			t.Errorf("%d sources have %d accounts and %d users", n, len(opts.Accounts), len(opts.Users))
		}
	}
}

func TestAccounts_NamesThatAreTaken(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"worker", "redox", "sys", "gateway-client"} {
		if err := writeAccounts(new(bytes.Buffer), "", []string{"clinic-a", name}); err == nil || !strings.Contains(err.Error(), "the source "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := writeAccounts(new(bytes.Buffer), "", nil); err == nil {
		t.Error("no sources are taken")
	}
}
