package devstack

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// sampleBody is the body of a sample.
func sampleBody(t *testing.T, name string) []byte {
	t.Helper()
	body, err := sampleFiles.ReadFile("samples/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestDev_GatewayAndAdminWorkAndNothingIsLeft(t *testing.T) {
	t.Parallel()
	p := clitest.StartDev(t, run)
	conn, err := nats.Connect(p.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	msg, err := conn.Request("redox.gateway.clinic-b.request", sampleBody(t, "free-slots"), 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := outbox.DecodeReply(msg); err != nil || !r.OK() || !strings.Contains(string(r.Body), `"EventType":"AvailableSlots"`) {
		t.Errorf("reply %+v, %v", r, err)
	}
	keyed := &nats.Msg{Subject: "redox.gateway.clinic-a.send", Data: sampleBody(t, "free-slots"), Header: nats.Header{"Redox-Order-Key": {"patient 1"}}}
	if msg, err = conn.RequestMsg(keyed, 2*time.Minute); err != nil || !strings.Contains(string(msg.Data), `"stream":"REDOX_OUT"`) {
		t.Errorf("with an order key: %v, %v", msg, err)
	}
	for _, url := range []string{"http://" + p.Admin + "/readyz", p.Redox + "/_sim/stats"} {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", url, response.Status)
		}
	}
	if code := p.Stop(); code != cli.ExitOK || p.Errs.String() != "" {
		t.Errorf("exit %d, stderr %s", code, p.Errs)
	}
	if !strings.HasSuffix(p.Out.String(), "{\"event\":\"stopped\"}\n") {
		t.Errorf("the end of the output: %s", p.Out)
	}
	if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is left: %v", err)
	}
}

// What is not settled when dev ends is there the next time.
func TestDev_DirKeepsMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := clitest.StartDev(t, run, "--dir", dir, "--profile", "token-down")
	conn, err := nats.Connect(p.NATS)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Publish(t.Context(), outbox.Message{ID: "kept", Source: "clinic-a", Body: sampleBody(t, "arrival")}); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	clitest.Eventually(t, "the message waits for a token", func() bool { return strings.Contains(p.Out.String(), `"event":"wait","message":"kept"`) }, p.Out.String)
	if code := p.Stop(); code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, p.Errs)
	}
	p = clitest.StartDev(t, run, "--dir", dir)
	clitest.Eventually(t, "the message is delivered", func() bool { return strings.Contains(p.Out.String(), `"event":"delivered","message":"kept"`) }, p.Out.String)
	if code := p.Stop(); code != cli.ExitOK || p.Dir != dir {
		t.Errorf("exit %d, dir %s", code, p.Dir)
	}
}

// A taken port names its flag, whichever it is.
func TestDev_TakenPortNamesTheFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"--nats-listen", "--sim-listen", "--admin-listen", "--console-listen"} {
		args := []string{"dev"}
		for _, f := range []string{"--nats-listen", "--sim-listen", "--admin-listen", "--console-listen"} {
			address := "127.0.0.1:0"
			if f == flag {
				address = taken.Addr().String()
			}
			args = append(args, f, address)
		}
		a, out, errs := clitest.App(args...)
		code := run(t.Context(), *a)
		if text := errs.String(); code != cli.ExitUsage || out.String() != "" || strings.Count(text, "\n") != 1 ||
			!strings.HasPrefix(text, "redoxworker: "+flag+": listen tcp "+taken.Addr().String()) || !strings.Contains(text, "choose another address") {
			t.Errorf("%s: exit %d, %s", flag, code, text)
		}
	}
}

// A Redox that never answers must not keep dev from ending.
func TestStack_EndsAlthoughRedoxHangs(t *testing.T) {
	t.Parallel()
	a, _, _ := clitest.App()
	s, err := newStack(t.Context(), a, stackOptions{natsListen: "127.0.0.1:0", simListen: "127.0.0.1:0", adminListen: "off", webListen: "off", profile: "hang",
		logLevel: "error", redox: &redoxsim.Server{}, flags: map[string]any{"worker.drain_timeout": "100ms"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	publisher, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher.Publish(t.Context(), outbox.Message{Source: "clinic-a", Body: sampleBody(t, "arrival")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	clitest.Eventually(t, "a message hangs", func() bool { return s.sim.redox.Stats().InFlight == 1 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n, err := s.stored(t.Context(), "REDOX_OUT"); err != nil || n != 1 {
		t.Errorf("%d messages in REDOX_OUT, %v: it was handed back", n, err)
	}
	if _, err := s.stored(t.Context(), "REDOX_NONE"); err == nil {
		t.Error("a stream that does not exist holds messages")
	}
}
