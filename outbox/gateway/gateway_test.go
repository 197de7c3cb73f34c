package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// gatewayRig is a running gateway for clinic-a with an order secret.
func gatewayRig(t *testing.T, cfg Config) (outboxtest.Rig, *nats.Conn) {
	t.Helper()
	r := provisioned(t)
	cfg.Sources = []string{"clinic-a"}
	g, err := New(r.JS.Conn(), r.JS, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	client := r.Connect().Conn() // any NATS client
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err := client.Request("$SRV.PING.redox-gateway", nil, time.Second); err == nil {
			return r, client
		} else if time.Now().After(end) {
			t.Fatalf("the gateway does not answer: %v", err)
		}
	}
}

func askGateway(t *testing.T, c *nats.Conn, subject string, h nats.Header) *nats.Msg {
	t.Helper()
	msg, err := c.RequestMsg(&nats.Msg{Subject: subject, Header: h, Data: []byte(`{"a":1}`)}, 2*time.Minute)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return msg
}

func TestGateway_SendAnswersWithAReceipt(t *testing.T) {
	t.Parallel()
	r, client := gatewayRig(t, Config{OrderSecret: outboxtest.Secret})
	h := nats.Header{contract.HeaderID: {"g-1"}, contract.HeaderOrderKey: {"MRN 1"}, contract.HeaderReplyTo: {"redox.reply.clinic-a.g-1"}, contract.HeaderDeadline: {"2030-01-01T00:00:00Z"},
		"Nats-Rollup": {"all"}, "Nats-TTL": {"1s"}, "X-Other": {"x"}, "Traceparent": {goldenTrace}}
	var receipt outbox.Receipt
	if err := json.Unmarshal(askGateway(t, client, "redox.gateway.clinic-a.send", h).Data, &receipt); err != nil {
		t.Fatal(err)
	}
	if receipt != (outbox.Receipt{ID: "g-1", Stream: "REDOX_OUT", Sequence: 1}) {
		t.Errorf("receipt %+v", receipt)
	}
	msg := r.Out(1)
	if string(msg.Data) != `{"a":1}` || msg.Header.Get(contract.HeaderReplyTo) != "redox.reply.clinic-a.g-1" || !strings.HasPrefix(msg.Subject, "redox.out.clinic-a.send.") {
		t.Errorf("stored %v %s", msg.Header, msg.Data)
	}
	if got := msg.Header.Get(contract.HeaderTraceParent); got != goldenTrace {
		t.Errorf("the trace context of a client that writes Traceparent: %q", got)
	}
	for _, name := range []string{"Nats-Rollup", "Nats-TTL", "X-Other", contract.HeaderOrderKey} {
		if msg.Header.Get(name) != "" {
			t.Errorf("header %s was stored", name)
		}
	}
	if err := json.Unmarshal(askGateway(t, client, "redox.gateway.clinic-a.send", h).Data, &receipt); err != nil || !receipt.Duplicate {
		t.Errorf("second receipt %+v, %v", receipt, err)
	}
}

func TestGateway_RequestIsAnsweredByTheWorker(t *testing.T) {
	t.Parallel()
	server := func() time.Time { return time.Now().Add(time.Hour) } // this host's clock is behind
	r, client := gatewayRig(t, Config{MaxWait: time.Minute, Now: server})
	answered := make(chan *nats.Msg, 1)
	go func() {
		msg, err := client.Request("redox.gateway.clinic-a.request", []byte(`{}`), 2*time.Minute)
		if err != nil {
			t.Error(err)
		}
		answered <- msg
	}()
	c, err := outboxtest.ReaderOf(r.Ctx(), r.JS, "clinic-a", "request")
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	m, err := outbox.Decode("", outbox.Stored{Subject: in.Subject(), Header: in.Headers(), Body: in.Data()})
	if err != nil || m.Lane != contract.LaneRequest || m.ID == "" {
		t.Fatalf("stored %+v, %v", m, err)
	}
	if left := m.Deadline.Sub(server()); left < 50*time.Second || left > time.Minute {
		t.Errorf("deadline in %v, want max_wait", left)
	}
	if err := r.JS.Conn().PublishMsg(outbox.Reply{MessageID: m.ID, Settlement: outbox.Delivered, Body: []byte(`{"b":2}`)}.Encode(m.ReplyTo)); err != nil {
		t.Fatal(err)
	}
	if reply, err := outbox.DecodeReply(<-answered); err != nil || string(reply.Body) != `{"b":2}` {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

func TestGateway_RefusesAtOnceAndStoresNothing(t *testing.T) {
	t.Parallel()
	r, client := gatewayRig(t, Config{ReplyAllow: []string{"_INBOX_other.>"}})
	for name, tc := range map[string]struct {
		subject string
		header  nats.Header
		code    string
	}{
		"inbox not allowed":      {"redox.gateway.clinic-a.request", nil, "400"},
		"reply to a stranger":    {"redox.gateway.clinic-a.send", nats.Header{contract.HeaderReplyTo: {"redox.reply.clinic-b.x"}}, "400"},
		"reply to the API":       {"redox.gateway.clinic-a.send", nats.Header{contract.HeaderReplyTo: {"$JS.API.STREAM.PURGE.REDOX_OUT"}}, "400"},
		"escaping path":          {"redox.gateway.clinic-a.send", nats.Header{contract.HeaderKind: {"fhir"}, contract.HeaderPath: {"/../x"}}, "400"},
		"order key, no secret":   {"redox.gateway.clinic-a.send", nats.Header{contract.HeaderOrderKey: {"k"}}, "400"},
		"order key on a request": {"redox.gateway.clinic-a.request", nats.Header{contract.HeaderOrderKey: {"k"}}, "400"},
		"id":                     {"redox.gateway.clinic-a.send", nats.Header{contract.HeaderID: {"a b"}}, "400"},
	} {
		var gateway *outbox.GatewayError
		if _, err := outbox.DecodeReply(askGateway(t, client, tc.subject, tc.header)); !errors.As(err, &gateway) || gateway.Code != tc.code || gateway.Text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages were stored", n)
	}
	if _, err := client.Request("redox.gateway.clinic-b.send", nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a source that is not configured: %v", err)
	}
}

const (
	goldenToken = "0123456789abcdef0123456789abcdef"
	goldenTrace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
)

// gatewayError is that of an answer which says that nothing was stored.
func gatewayError(answer *nats.Msg) error {
	if _, err := outbox.DecodeReply(answer); errors.As(err, new(*outbox.GatewayError)) {
		return err
	}
	return nil
}

// provisioned is a server with the streams.
func provisioned(t *testing.T) outboxtest.Rig {
	t.Helper()
	r := outboxtest.With(t, natsdev.Options{}, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	r.Provision(streams.Set{Names: contract.Prefix("")})
	return r
}
