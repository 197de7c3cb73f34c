package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// gatewayRig is a running gateway for clinic-a with an order secret.
func gatewayRig(t *testing.T, cfg GatewayConfig) (topologyRig, *nats.Conn) {
	t.Helper()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	cfg.Sources = []string{"clinic-a"}
	g, err := NewGateway(r.js.Conn(), r.js, cfg)
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
	client := r.connect().Conn() // any NATS client
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
	r, client := gatewayRig(t, GatewayConfig{OrderSecret: testSecret})
	h := nats.Header{HeaderID: {"g-1"}, HeaderOrderKey: {"MRN 1"}, HeaderReplyTo: {"redox.reply.clinic-a.g-1"}, HeaderDeadline: {"2030-01-01T00:00:00Z"},
		"Nats-Rollup": {"all"}, "Nats-TTL": {"1s"}, "X-Other": {"x"}, "Traceparent": {goldenTrace}}
	var receipt Receipt
	if err := json.Unmarshal(askGateway(t, client, "redox.gateway.clinic-a.send", h).Data, &receipt); err != nil {
		t.Fatal(err)
	}
	if receipt != (Receipt{ID: "g-1", Stream: "REDOX_OUT", Sequence: 1}) {
		t.Errorf("receipt %+v", receipt)
	}
	msg := r.out(1)
	if string(msg.Data) != `{"a":1}` || msg.Header.Get(HeaderReplyTo) != "redox.reply.clinic-a.g-1" || !strings.HasPrefix(msg.Subject, "redox.out.clinic-a.send.") {
		t.Errorf("stored %v %s", msg.Header, msg.Data)
	}
	if got := msg.Header.Get(HeaderTraceParent); got != goldenTrace {
		t.Errorf("the trace context of a client that writes Traceparent: %q", got)
	}
	for _, name := range []string{"Nats-Rollup", "Nats-TTL", "X-Other", HeaderOrderKey} {
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
	r, client := gatewayRig(t, GatewayConfig{MaxWait: time.Minute, Now: server})
	answered := make(chan *nats.Msg, 1)
	go func() {
		msg, err := client.Request("redox.gateway.clinic-a.request", []byte(`{}`), 2*time.Minute)
		if err != nil {
			t.Error(err)
		}
		answered <- msg
	}()
	c, err := readerOf(r.ctx(), r.js, "clinic-a", LaneRequest)
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode("", Stored{Subject: in.Subject(), Header: in.Headers(), Body: in.Data()})
	if err != nil || m.Lane != LaneRequest || m.ID == "" {
		t.Fatalf("stored %+v, %v", m, err)
	}
	if left := m.Deadline.Sub(server()); left < 50*time.Second || left > time.Minute {
		t.Errorf("deadline in %v, want max_wait", left)
	}
	if err := r.js.Conn().PublishMsg(Reply{MessageID: m.ID, Settlement: Delivered, Body: []byte(`{"b":2}`)}.Encode(m.ReplyTo)); err != nil {
		t.Fatal(err)
	}
	if reply, err := DecodeReply(<-answered); err != nil || string(reply.Body) != `{"b":2}` {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

func TestGateway_RefusesAtOnceAndStoresNothing(t *testing.T) {
	t.Parallel()
	r, client := gatewayRig(t, GatewayConfig{ReplyAllow: []string{"_INBOX_other.>"}})
	for name, tc := range map[string]struct {
		subject string
		header  nats.Header
		code    string
	}{
		"inbox not allowed":      {"redox.gateway.clinic-a.request", nil, "400"},
		"reply to a stranger":    {"redox.gateway.clinic-a.send", nats.Header{HeaderReplyTo: {"redox.reply.clinic-b.x"}}, "400"},
		"reply to the API":       {"redox.gateway.clinic-a.send", nats.Header{HeaderReplyTo: {"$JS.API.STREAM.PURGE.REDOX_OUT"}}, "400"},
		"escaping path":          {"redox.gateway.clinic-a.send", nats.Header{HeaderKind: {"fhir"}, HeaderPath: {"/../x"}}, "400"},
		"order key, no secret":   {"redox.gateway.clinic-a.send", nats.Header{HeaderOrderKey: {"k"}}, "400"},
		"order key on a request": {"redox.gateway.clinic-a.request", nats.Header{HeaderOrderKey: {"k"}}, "400"},
		"id":                     {"redox.gateway.clinic-a.send", nats.Header{HeaderID: {"a b"}}, "400"},
	} {
		var gateway *GatewayError
		if _, err := DecodeReply(askGateway(t, client, tc.subject, tc.header)); !errors.As(err, &gateway) || gateway.Code != tc.code || gateway.Text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := r.js.Stream(r.ctx(), "REDOX_OUT")
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
