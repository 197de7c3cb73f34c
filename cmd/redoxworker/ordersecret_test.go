package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// One file with the order secret makes one token of a key: in the library, which is given the
// file as it is, in the command and in the gateway. Otherwise a patient's messages would go in
// two orders.
func TestRun_OneOrderTokenFromOneFile(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	file := filepath.Join(filepath.Dir(s.config), "order-secret")
	content := []byte("\ufeff 5f3b9c0d7e2a4861 \r\n\n")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s.reconfigure(fmt.Sprintf("secret: %q", orderSecret), fmt.Sprintf("secret_file: %q", file))
	s.run()
	conn := s.js.Conn()
	published, err := conn.SubscribeSync("redox.out.clinic-a.send.*")
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{OrderSecret: content})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Publish(t.Context(), outbox.Message{Source: "clinic-a", OrderKey: "MRN 1", Body: admit("library")}); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	args := []string{"send", "--config", s.config, "--source", "clinic-a", "--order-key", "MRN 1"}
	if code := run(t.Context(), cli.App{Args: args, Stdin: bytes.NewReader(admit("command")), Stdout: &out, Stderr: &errs}); code != 0 {
		t.Fatalf("send: %d, %s", code, &errs)
	}
	request := &nats.Msg{Subject: "redox.gateway.clinic-a.send", Data: admit("gateway"), Header: nats.Header{contract.HeaderOrderKey: {"MRN 1"}}}
	if answer, err := conn.RequestMsg(request, 2*time.Minute); err != nil || !strings.Contains(string(answer.Data), `"sequence"`) {
		t.Fatalf("gateway: %v", err)
	}
	want, err := outbox.OrderToken([]byte("5f3b9c0d7e2a4861"), "MRN 1")
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"library", "command", "gateway"} {
		msg, err := published.NextMsg(2 * time.Minute)
		if err != nil || msg.Subject != "redox.out.clinic-a.send."+want {
			t.Errorf("%s: %+v, %v; want the token %s", who, msg, err, want)
		}
	}
	s.drained()
}
