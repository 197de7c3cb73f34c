package outboxtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// Rig is a server of its own, reached over TCP. Its methods fail the test on an error.
type Rig struct {
	T      *testing.T
	Server *natsdev.Server
	JS     jetstream.JetStream
}

// New starts a server without streams.
func New(t *testing.T) Rig {
	t.Helper()
	return With(t, natsdev.Options{})
}

// With starts a server with options of its own, and of the connection.
func With(t *testing.T, o natsdev.Options, opts ...nats.Option) Rig {
	t.Helper()
	o.Dir, o.Port = t.TempDir(), -1
	s, err := natsdev.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	r := Rig{T: t, Server: s}
	r.JS = r.Connect(opts...)
	return r
}

// Configured starts a server with this configuration file.
func Configured(t *testing.T, conf string, opts ...nats.Option) Rig {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return With(t, natsdev.Options{ConfigFile: file}, opts...)
}

// Bench starts a server for a benchmark.
func Bench(b *testing.B) jetstream.JetStream {
	b.Helper()
	s, err := natsdev.Start(natsdev.Options{Dir: b.TempDir(), Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Shutdown() })
	nc, err := s.Connect()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	return js
}

// Connect opens another connection.
func (r Rig) Connect(opts ...nats.Option) jetstream.JetStream {
	r.T.Helper()
	nc, err := r.Server.Connect(append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	r.Must(err)
	r.T.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	r.Must(err)
	return js
}

// Ctx ends with the test, after two minutes at most.
func (r Rig) Ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.T.Context(), 2*time.Minute)
	r.T.Cleanup(cancel)
	return ctx
}

// Must ends the test on an error.
func (r Rig) Must(err error) {
	r.T.Helper()
	if err != nil {
		r.T.Fatal(err)
	}
}

// Provision makes the streams of a set.
func (r Rig) Provision(set streams.Set) {
	r.T.Helper()
	r.Must(Provision(r.Ctx(), r.JS, set))
}

// Provision makes the streams of a set. A leader that was elected just now may not have heard
// of all servers of its cluster yet.
func Provision(ctx context.Context, js jetstream.JetStream, set streams.Set) error {
	for _, cfg := range set.Configs() {
		for {
			_, err := js.CreateOrUpdateStream(ctx, cfg)
			if err == nil {
				break
			}
			if !strings.Contains(err.Error(), "peer offline") || !jsapi.Sleep(ctx, 100*time.Millisecond) {
				return err
			}
		}
	}
	return nil
}

// Stream is what the server says of a stream.
func (r Rig) Stream(name string) *jetstream.StreamInfo {
	r.T.Helper()
	s, err := r.JS.Stream(r.Ctx(), name)
	r.Must(err)
	return s.CachedInfo()
}

// UpdateStream changes a stream's configuration.
func (r Rig) UpdateStream(name string, change func(*jetstream.StreamConfig)) {
	r.T.Helper()
	cfg := r.Stream(name).Config
	change(&cfg)
	_, err := r.JS.UpdateStream(r.Ctx(), cfg)
	r.Must(err)
}

// CreateStream makes a stream.
func (r Rig) CreateStream(cfg jetstream.StreamConfig) {
	r.T.Helper()
	_, err := r.JS.CreateStream(r.Ctx(), cfg)
	r.Must(err)
}

// Publish stores {} under a subject, with names and values of headers in turn.
func (r Rig) Publish(subject string, header ...string) (*jetstream.PubAck, error) {
	m := nats.NewMsg(subject)
	m.Data = []byte("{}")
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	return r.JS.PublishMsg(r.Ctx(), m)
}

// MustPublish is Publish that must succeed.
func (r Rig) MustPublish(subject string) {
	r.T.Helper()
	_, err := r.Publish(subject)
	r.Must(err)
}

// Out reads a message of the work queue.
func (r Rig) Out(sequence uint64) *jetstream.RawStreamMsg {
	r.T.Helper()
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	msg, err := s.GetMsg(r.Ctx(), sequence)
	r.Must(err)
	return msg
}

// Queued are all messages of the work queue, in its order.
func (r Rig) Queued() []*jetstream.RawStreamMsg {
	r.T.Helper()
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	r.Must(err)
	var all []*jetstream.RawStreamMsg
	for sequence := uint64(1); ; {
		msg, err := s.GetMsg(r.Ctx(), sequence, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		r.Must(err)
		all = append(all, msg)
		sequence = msg.Sequence + 1
	}
}

// Reader is the consumer of a source's sends or requests, as a worker makes it.
func (r Rig) Reader(source, lane string) jetstream.Consumer {
	r.T.Helper()
	c, err := ReaderOf(r.Ctx(), r.JS, source, lane)
	r.Must(err)
	return c
}

// ReaderOf is Reader by another connection.
func ReaderOf(ctx context.Context, js jetstream.JetStream, source, lane string) (jetstream.Consumer, error) {
	filters := []string{"redox.out." + source + ".request"}
	if lane != "request" {
		lane, filters = "send", []string{"redox.out." + source + ".send", "redox.out." + source + ".send.>"}
	}
	return js.CreateOrUpdateConsumer(ctx, "REDOX_OUT", jetstream.ConsumerConfig{
		Durable: source + "-" + lane, FilterSubjects: filters, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
	})
}

// ClockAhead runs f on a host whose clock is that much ahead of the server's, with a connection
// of its own.
func (r Rig) ClockAhead(ahead time.Duration, f func(r Rig)) {
	r.T.Helper()
	at := time.Now().Add(ahead)
	synctest.Test(r.T, func(t *testing.T) {
		<-time.After(time.Until(at)) // a bubble begins long ago
		r.T = t
		r.JS = r.Connect()
		f(r)
	})
}
