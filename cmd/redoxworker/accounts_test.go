package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// With the accounts of deploy/: provision as operator, run as worker without the right to
// create anything, publish as each source. What they may not is tested in deploy.
func TestRun_WithTheAccountsOfDeploy(t *testing.T) {
	server, config := accounts(t)
	as := func(user string) []string {
		return []string{"REDOXWORKER_NATS_USER=" + user, "REDOXWORKER_NATS_PASSWORD=pw-" + user, "REDOXWORKER_NATS_INBOX_PREFIX=_INBOX_" + user}
	}
	var out, errs output
	if code := run(t.Context(), cli.App{Args: []string{"provision", "--config", config}, Environ: as("operator"), Stdout: &out, Stderr: &errs}); code != 0 {
		t.Fatalf("provision as operator: exit %d\n%s", code, errs.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, cli.App{Args: []string{"run", "--config", config}, Environ: as("worker"), Stdout: &out, Stderr: &errs})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("run as worker: exit %d", code)
		}
	})
	for _, source := range []string{"clinic-a", "clinic-b"} {
		p := publisherAs(t, server, source)
		for _, replyTo := range []string{"", "redox.reply." + source + ".x"} {
			reply, err := p.Request(t.Context(), outbox.Message{Source: source, Lane: contract.LaneSend, ReplyTo: replyTo, Body: admit(source + replyTo)})
			if err != nil || !reply.OK() {
				t.Errorf("%s, reply to %q: %+v, %v\n%s", source, replyTo, reply, err, errs.String())
			}
		}
	}
	if strings.Contains(strings.ToLower(errs.String()), "permissions violation") {
		t.Errorf("the worker lacks a right:\n%s", errs.String())
	}
}

// With those accounts check finds nothing wrong, neither as the worker, whose rights it tries
// without the right to list consumers, nor as the operator, who looks at everything and is no worker.
func TestCheck_WithTheAccountsOfDeploy(t *testing.T) {
	_, config := accounts(t)
	as := func(user string, args ...string) string {
		t.Helper()
		var out output
		environ := []string{"REDOXWORKER_NATS_USER=" + user, "REDOXWORKER_NATS_PASSWORD=pw-" + user, "REDOXWORKER_NATS_INBOX_PREFIX=_INBOX_" + user}
		if code := run(t.Context(), cli.App{Args: append(args, "--config", config), Environ: environ, Stdout: &out, Stderr: &out}); code != 0 {
			t.Errorf("%s as %s: exit %d\n%s", args[0], user, code, out.String())
		}
		return out.String()
	}
	as("operator", "provision")
	if got := as("worker", "check"); !strings.Contains(got, "✓ rights    user worker has the") || !strings.Contains(got, "? consumers this user may not list them; run check as the operator") {
		t.Errorf("as the worker:\n%s", got)
	}
	if got := as("operator", "check"); !strings.Contains(got, "? rights    user operator may make streams, as an operator, and lacks") || !strings.Contains(got, "✓ consumers") {
		t.Errorf("as the operator:\n%s", got)
	}
}

// As the operator of those accounts, who may delete nothing of the queue, messages astray are moved and
// dead-lettered, and dead letters brought back.
func TestAstray_WithTheAccountsOfDeploy(t *testing.T) {
	server, config := accounts(t)
	as := func(user string) []string {
		return []string{"REDOXWORKER_NATS_USER=" + user, "REDOXWORKER_NATS_PASSWORD=pw-" + user, "REDOXWORKER_NATS_INBOX_PREFIX=_INBOX_" + user}
	}
	operator := func(args ...string) string {
		t.Helper()
		var out output
		if code := run(t.Context(), cli.App{Args: append(args, "--config", config), Environ: as("operator"), Stdout: &out, Stderr: &out}); code != 0 {
			t.Fatalf("%q: exit %d\n%s", args, code, out.String())
		}
		return out.String()
	}
	operator("provision")
	ctx, cancel := context.WithCancel(t.Context())
	var errs output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, cli.App{Args: []string{"run", "--config", config}, Environ: as("worker"), Stdout: &errs, Stderr: &errs})
	}()
	defer func() { cancel(); <-done }()
	conn, err := nats.Connect(server.URL(), nats.UserInfo("operator", "pw-operator"), nats.CustomInboxPrefix("_INBOX_operator"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"redox.out.clinic-old.send", "redox.out.clinic-old.send", "redox.out.clinic-old.request"} {
		if _, err := js.Publish(ctx, subject, admit("x")); err != nil {
			t.Fatal(err)
		}
	}
	for found := ""; !strings.Contains(found, "no worker serves clinic-old"); { // until the worker is there
		found = operator("astray", "ls")
	}
	if got := operator("astray", "move", "--subject", "redox.out.clinic-old.send", "--to", "clinic-a", "--force"); !strings.Contains(got, "2 moved") {
		t.Error(got)
	}
	if got := operator("astray", "dead-letter", "--all", "--force"); !strings.Contains(got, "1 dead-lettered") {
		t.Error(got)
	}
	file := filepath.Join(t.TempDir(), "dead.ndjson")
	operator("dlq", "export", "--reveal", "--out", file)
	operator("dlq", "discard", "--all", "--force")
	if got := operator("dlq", "import", file, "--force"); !strings.Contains(got, "1 dead letter stored") {
		t.Error(got)
	}
}

// accounts are a server with those of deploy/, and the configuration of its workers.
func accounts(t *testing.T) (server *natsdev.Server, config string) {
	t.Helper()
	for _, user := range []string{"OPERATOR", "WORKER", "RELAY", "CONSOLE", "GATEWAY_CLIENT", "CLINIC_A", "CLINIC_B"} {
		t.Setenv("NATS_"+user+"_PASSWORD", "pw-"+strings.ToLower(user))
	}
	accounts, err := filepath.Abs("../../deploy/nats/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, err := os.ReadFile(accounts)
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(conf, append([]byte("jetstream: enabled\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err = natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1, ConfigFile: conf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	sim := &redoxsim.Server{}
	far := httptest.NewServer(sim)
	t.Cleanup(far.Close)
	key, err := auth.GenerateKey(auth.ES384, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.AddOAuthKey(clientID, "k", key.Public()); err != nil {
		t.Fatal(err)
	}
	if err := auth.WriteKeyFile(filepath.Join(dir, "key.pem"), key); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "redoxworker.yaml")
	err = os.WriteFile(config, fmt.Appendf(nil, `
nats: {url: %q, provision: never}
redox: {base_url: %q, blob_url: %[2]q}
keys: {main: {client_id: %[3]s, kid: k, private_key_file: key.pem}}
sources:
  clinic-a: {id: %[4]s, key: main}
  clinic-b: {id: 8ce6f387-c33c-417d-8682-81e83628cbd9, key: main}
reply: {allow: ["_INBOX_{source}.>", "_INBOX_gateway-client.>"]}
admin: {listen: off}
`, server.URL(), far.URL, clientID, sourceID), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return server, config
}

// publisherAs publishes with the rights of a source.
func publisherAs(t *testing.T, server *natsdev.Server, source string) *outbox.Publisher {
	t.Helper()
	password := "pw-" + strings.ReplaceAll(source, "-", "_")
	conn, err := nats.Connect(server.URL(), nats.UserInfo(source, password), nats.CustomInboxPrefix("_INBOX_"+source))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	p, err := outbox.NewPublisher(js, outbox.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
