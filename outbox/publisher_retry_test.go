package outbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// faulty is a real JetStream whose first publishes fail, after storing the
// message or instead of it.
type faulty struct {
	jetstream.JetStream
	fail  []error
	store bool
}

func (f *faulty) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if len(f.fail) == 0 {
		return f.JetStream.PublishMsg(ctx, m, opts...)
	}
	err := f.fail[0]
	f.fail = f.fail[1:]
	if f.store {
		if _, err := f.JetStream.PublishMsg(ctx, m, opts...); err != nil {
			return nil, err
		}
	}
	return nil, err
}

func api(status int, code jetstream.ErrorCode) error {
	return &jetstream.APIError{Code: status, ErrorCode: code, Description: "made up"}
}

func TestPublish_RepeatsWhatMayHeal(t *testing.T) {
	t.Parallel()
	wrongSequence := api(400, 10071)
	for name, tt := range map[string]struct {
		fail []error
		want error // nil: it is stored in the end
	}{
		"timeouts":          {[]error{nats.ErrTimeout, context.DeadlineExceeded}, nil},
		"no leader":         {[]error{api(503, 10008)}, nil},
		"too many requests": {[]error{api(429, 10167)}, nil},
		"no stream yet":     {[]error{jetstream.ErrNoStreamResponse}, nil},
		"queue full":        {[]error{api(503, 10077)}, ErrQueueFull},
		"storage full":      {[]error{api(500, 10047)}, ErrQueueFull},
		"closed":            {[]error{nats.ErrConnectionClosed}, nats.ErrConnectionClosed},
		"wrong sequence":    {[]error{wrongSequence}, wrongSequence},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := published(t, natsdev.Options{}, PublisherConfig{})
			p, err := NewPublisher(&faulty{JetStream: r.js, fail: tt.fail}, PublisherConfig{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Publish(r.ctx(), Message{ID: "m", Source: "clinic-a"})
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			want := uint64(1)
			if tt.want != nil {
				want = 0
			}
			if n := r.stream("REDOX_OUT").State.Msgs; n != want {
				t.Errorf("%d messages stored, want %d", n, want)
			}
		})
	}
}

// TestRequest_LostConfirmationIsNoDuplicate: the second try is told that the id
// is known, but it was this request that stored it, and its reply comes.
func TestRequest_LostConfirmationIsNoDuplicate(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	answering(r, true)
	p, err := NewPublisher(&faulty{JetStream: r.js, fail: []error{nats.ErrTimeout}, store: true}, PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := p.Request(r.ctx(), Message{ID: "q", Source: "clinic-a", Body: []byte("{}")})
	if err != nil || !reply.OK() || reply.MessageID != "q" {
		t.Errorf("reply %+v, %v", reply, err)
	}
}

func TestPublish_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	if err := r.server.Shutdown(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := p.Publish(ctx, Message{ID: "m", Source: "clinic-a", Body: []byte("secret body")})
	if err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

func TestGateway_Refusals(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	for name, cfg := range map[string]GatewayConfig{
		"no source":      {},
		"bad source":     {Sources: []string{"A"}},
		"bad prefix":     {Sources: []string{"a"}, Prefix: "A"},
		"bad pattern":    {Sources: []string{"a"}, ReplyAllow: []string{"$JS.>"}},
		"short secret":   {Sources: []string{"a"}, OrderSecret: []byte("short")},
		"negative limit": {Sources: []string{"a"}, Concurrency: -1},
		"negative max":   {Sources: []string{"a"}, MaxWait: -1},
	} {
		if g, err := NewGateway(r.js.Conn(), r.js, cfg); err == nil || g != nil {
			t.Errorf("%s: %v, %v", name, g, err)
		}
	}
	if _, err := NewGateway(nil, r.js, GatewayConfig{Sources: []string{"a"}}); err == nil {
		t.Error("no connection: no error")
	}
}

func TestGateway_RunEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	js := r.connect()
	g, err := NewGateway(js.Conn(), js, GatewayConfig{Sources: []string{"clinic-a"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Run(t.Context()) }()
	askPing(t, r.js.Conn())
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
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	r.updateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	r.mustPublish("redox.out.clinic-a.send")
	stop := serveGateway(r, GatewayConfig{Sources: []string{"clinic-a"}})
	defer stop()
	client := r.connect().Conn()
	for _, lane := range []Lane{LaneSend, LaneRequest} {
		var refused *GatewayError
		if _, err := DecodeReply(askGateway(t, client, Prefix("").GatewaySubject("clinic-a", lane), nil)); !errors.As(err, &refused) || refused.Code != "503" {
			t.Errorf("%s: %v", lane, err)
		}
	}
	if n := r.stream("REDOX_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages stored, want 1", n)
	}
}

// TestGateway_SecondRequestUnderOneID: the reply goes to the first inbox, so the second
// caller is told at once instead of waiting for nothing.
func TestGateway_SecondRequestUnderOneID(t *testing.T) {
	t.Parallel()
	r, _ := published(t, natsdev.Options{}, PublisherConfig{})
	stop := serveGateway(r, GatewayConfig{Sources: []string{"clinic-a"}})
	defer stop()
	if _, err := r.publish("redox.out.clinic-a.request", HeaderID, "q-1"); err != nil {
		t.Fatal(err)
	}
	var refused *GatewayError
	answer := askGateway(t, r.connect().Conn(), "redox.gateway.clinic-a.request", nats.Header{HeaderID: {"q-1"}})
	if _, err := DecodeReply(answer); !errors.As(err, &refused) || refused.Code != "409" {
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
