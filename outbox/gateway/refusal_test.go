package gateway

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestGateway_Refusals(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	for name, cfg := range map[string]Config{
		"bad source":     {Sources: []string{"A"}},
		"bad prefix":     {Sources: []string{"a"}, Prefix: "A"},
		"bad pattern":    {Sources: []string{"a"}, ReplyAllow: []string{"$JS.>"}},
		"short secret":   {Sources: []string{"a"}, OrderSecret: []byte("short")},
		"negative limit": {Sources: []string{"a"}, Concurrency: -1},
		"negative max":   {Sources: []string{"a"}, MaxWait: -1},
	} {
		if g, err := New(r.JS.Conn(), r.JS, cfg); err == nil || g != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	if _, err := New(nil, r.JS, Config{Sources: []string{"a"}}); err == nil {
		t.Error("no connection: no error")
	}
}

func TestGateway_RunEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	js := r.Connect()
	g, err := New(js.Conn(), js, Config{Sources: []string{"clinic-a"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(t.Context()) }()
	askPing(t, r.JS.Conn())
	js.Conn().Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("Run returned nil although nobody asked it to stop")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run goes on without a connection")
	}
}

// TestGateway_QueueFull: the caller of either endpoint hears at once that nothing was stored.
func TestGateway_QueueFull(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	r.MustPublish("redox.out.clinic-a.send")
	stop := serveGateway(r, Config{Sources: []string{"clinic-a"}})
	defer stop()
	client := r.Connect().Conn()
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		var refused *outbox.GatewayError
		if _, err := outbox.DecodeReply(askGateway(t, client, contract.Prefix("").GatewaySubject("clinic-a", lane), nil)); !errors.As(err, &refused) || refused.Code != "503" {
			t.Errorf("%s: %v", lane, err)
		}
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages stored, want 1", n)
	}
}

// TestGateway_SecondRequestUnderOneID: the reply goes to the first inbox, so the second
// caller is told at once instead of waiting for nothing.
func TestGateway_SecondRequestUnderOneID(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	stop := serveGateway(r, Config{Sources: []string{"clinic-a"}})
	defer stop()
	if _, err := r.Publish("redox.out.clinic-a.request", contract.HeaderID, "clinic-a:q-1"); err != nil {
		t.Fatal(err)
	}
	var refused *outbox.GatewayError
	answer := askGateway(t, r.Connect().Conn(), "redox.gateway.clinic-a.request", nats.Header{contract.HeaderID: {"q-1"}})
	if _, err := outbox.DecodeReply(answer); !errors.As(err, &refused) || refused.Code != "409" {
		t.Errorf("answer %v: %v", answer.Header, err)
	}
}

func askPing(t *testing.T, c *nats.Conn) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err := c.Request("$SRV.PING.redox-gateway", nil, time.Second); err == nil {
			return
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestGateway_NamesTheInboxThatItDoesNotTake: a plain client gave a reply subject, no header.
func TestGateway_NamesTheInboxThatItDoesNotTake(t *testing.T) {
	t.Parallel()
	r, _ := gatewayRig(t, Config{ReplyAllow: []string{"_INBOX_other.>"}})
	client := r.Connect().Conn()
	answer := askGateway(t, client, "redox.gateway.clinic-a.send", nil)
	const want = "contract: the reply subject of the request is not among the allowed reply subjects; reply.allow of the gateway says which it takes"
	if got := answer.Header.Get("Nats-Service-Error"); got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
