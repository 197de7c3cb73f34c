package outbox

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// topologyRig is a server of its own, reached over TCP.
type topologyRig struct {
	t      *testing.T
	server *natsdev.Server
	js     jetstream.JetStream
}

func newTopologyRig(t *testing.T) topologyRig {
	t.Helper()
	return topologyRigWith(t, natsdev.Options{})
}

func topologyRigWith(t *testing.T, o natsdev.Options, opts ...nats.Option) topologyRig {
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
	r := topologyRig{t: t, server: s}
	r.js = r.connect(opts...)
	return r
}

// configured runs a server with this configuration file.
func configured(t *testing.T, conf string, opts ...nats.Option) topologyRig {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return topologyRigWith(t, natsdev.Options{ConfigFile: file}, opts...)
}

func (r topologyRig) connect(opts ...nats.Option) jetstream.JetStream {
	r.t.Helper()
	nc, err := r.server.Connect(append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		r.t.Fatal(err)
	}
	return js
}

func (r topologyRig) ctx() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	r.t.Cleanup(cancel)
	return ctx
}

// ensure fails the test on an error. A leader that was elected just now may not have heard
// of all servers of its cluster yet.
func (r topologyRig) ensure(t Topology) (all []Change) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx(), time.Minute)
	defer cancel()
	for {
		changes, err := t.Ensure(ctx, r.js)
		all = append(all, changes...)
		if err == nil {
			return all
		}
		if !strings.Contains(err.Error(), "peer offline") || !sleep(ctx, 100*time.Millisecond) {
			r.t.Fatal(err)
		}
	}
}

// settled fails the test if anything differs from the topology.
func (r topologyRig) settled(t Topology) {
	r.t.Helper()
	changes, err := t.Drift(r.ctx(), r.js)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range changes {
		r.t.Errorf("still differs: %s", c)
	}
}

func (r topologyRig) stream(name string) *jetstream.StreamInfo {
	r.t.Helper()
	s, err := r.js.Stream(r.ctx(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.CachedInfo()
}

func (r topologyRig) updateStream(name string, change func(*jetstream.StreamConfig)) {
	r.t.Helper()
	cfg := r.stream(name).Config
	change(&cfg)
	if _, err := r.js.UpdateStream(r.ctx(), cfg); err != nil {
		r.t.Fatal(err)
	}
}

func (r topologyRig) createStream(cfg jetstream.StreamConfig) {
	r.t.Helper()
	if _, err := r.js.CreateStream(r.ctx(), cfg); err != nil {
		r.t.Fatal(err)
	}
}

// reader is the consumer of a lane, as a worker makes it.
func (r topologyRig) reader(source string, lane Lane) jetstream.Consumer {
	r.t.Helper()
	c, err := readerOf(r.ctx(), r.js, source, lane)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func readerOf(ctx context.Context, js jetstream.JetStream, source string, lane Lane) (jetstream.Consumer, error) {
	var p Prefix
	filters := []string{p.RequestSubject(source)}
	if lane != LaneRequest {
		filters = []string{p.SendSubject(source), p.SendSubject(source) + ".>"}
	}
	return js.CreateOrUpdateConsumer(ctx, p.OutStream(), jetstream.ConsumerConfig{
		Durable: p.LaneConsumer(source, lane), FilterSubjects: filters, AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
	})
}

func (r topologyRig) publish(subject string, header ...string) (*jetstream.PubAck, error) {
	m := nats.NewMsg(subject)
	m.Data = []byte("{}")
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	return r.js.PublishMsg(r.ctx(), m)
}

func (r topologyRig) mustPublish(subject string) {
	r.t.Helper()
	if _, err := r.publish(subject); err != nil {
		r.t.Fatal(err)
	}
}

// withAction returns the changes of one action.
func withAction(changes []Change, a Action) []Change {
	var some []Change
	for _, c := range changes {
		if c.Action == a {
			some = append(some, c)
		}
	}
	return some
}

func benchRig(b *testing.B) jetstream.JetStream {
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
