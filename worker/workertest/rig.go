package workertest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// SourceID is the Redox Source ID of the first source of a Rig.
const SourceID = "7ce6f387-c33c-417d-8682-81e83628cbd9"

// OrderSecret is that of a Rig's Publisher.
const OrderSecret = "an order secret of tests, no other"

const (
	clientID = "workertest"
	kid      = "workertest-1"
)

// Options of a Rig. The zero value serves one source.
type Options struct {
	// Sources by name. Default clinic-a.
	Sources []string
	// Redox is the simulator. Default one that takes everything. What counts time, such as its
	// rules, is set within a bubble, through [Rig.Redox].
	Redox *redoxsim.Server
	// NoWorker leaves what is published in the queue.
	NoWorker bool
	// Worker changes the configuration of the worker, if not nil.
	Worker func(*worker.Config)
	// Client changes the configuration of the Redox client, if not nil.
	Client func(*redox.Config)
}

// Rig is all that an application meets: NATS with its streams, a worker with a key, and a
// simulated Redox that knows the key and the sources. Its methods are safe for concurrent use.
type Rig struct {
	// JS is that of an application. Its Conn has every right.
	JS jetstream.JetStream
	// URL of the NATS server; "" in a bubble, where JS alone reaches it.
	URL string
	// Publisher has [OrderSecret] and claim checks.
	Publisher *outbox.Publisher
	// Redox answers the worker. Its record says what arrived; its rules make faults.
	Redox *redoxsim.Server
	// Worker is nil with NoWorker.
	Worker *worker.Worker

	t       testing.TB
	mu      sync.Mutex
	sent    []outbox.Message // that the worker has begun
	events  []worker.Event
	changed chan struct{} // closed and replaced at each of either
}

// Start starts a rig with a NATS server of its own on a free port. The end of the test stops it.
func Start(t testing.TB, o Options) *Rig {
	t.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	r, stop := newRig(t, js, o)
	r.URL = server.URL()
	t.Cleanup(stop)
	return r
}

// StartInBubble runs f with a rig in a bubble of fake time; see [Bubble], whose rules it has.
func StartInBubble(t *testing.T, o Options, f func(t *testing.T, r *Rig)) {
	t.Helper()
	Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		r, stop := newRig(t, js, o)
		defer stop()
		f(t, r)
	})
}

func newRig(t testing.TB, js jetstream.JetStream, o Options) (r *Rig, stop func()) {
	t.Helper()
	if len(o.Sources) == 0 {
		o.Sources = []string{"clinic-a"}
	}
	if o.Redox == nil {
		o.Redox = &redoxsim.Server{}
	}
	r = &Rig{t: t, JS: js, Redox: o.Redox, changed: make(chan struct{})}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := topology.Topology{}.Ensure(t.Context(), js)
	check(err)
	r.Publisher, err = outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte(OrderSecret), ClaimCheck: true})
	check(err)
	listener := newPipes()
	far := &http.Server{Handler: o.Redox, ReadHeaderTimeout: time.Minute}
	var running sync.WaitGroup
	running.Go(func() { _ = far.Serve(listener) })
	stopFar := func() {
		_ = far.Close()
		running.Wait()
	}
	if o.NoWorker {
		return r, stopFar
	}
	stopWorker, err := r.startWorker(listener, o)
	if err != nil {
		stopFar()
		t.Fatal(err)
	}
	return r, func() {
		if err := stopWorker(); err != nil {
			t.Errorf("worker: %v", err)
		}
		stopFar()
	}
}

// startWorker runs a worker with one key for all sources.
func (r *Rig) startWorker(far *pipes, o Options) (stop func() error, err error) {
	key, err := auth.GenerateKey(auth.ES384, kid)
	if err != nil {
		return nil, err
	}
	if err := o.Redox.AddOAuthKey(clientID, kid, key.Public()); err != nil {
		return nil, err
	}
	const base = "http://127.0.0.1"
	transport := &http.Transport{DialContext: far.dial}
	minter, err := auth.NewOAuth(clientID, key, auth.OAuthConfig{TokenURL: base + redoxsim.PathToken, Transport: transport})
	if err != nil {
		return nil, err
	}
	tokens, err := auth.NewCache(minter, auth.CacheConfig{})
	if err != nil {
		return nil, err
	}
	sources := make(map[string]redox.Source, len(o.Sources))
	for i, name := range o.Sources {
		id := sourceID(i)
		sources[name] = redox.Source{ID: id, Key: "main", Environment: "development"}
		o.Redox.AddSource(redoxsim.Source{ID: id, Name: name, Environment: "Development"})
	}
	cfg := redox.Config{BaseURL: base, BlobURL: base, Transport: transport}
	if o.Client != nil {
		o.Client(&cfg)
	}
	client, err := redox.New(sources, map[string]redox.Credentials{"main": tokens}, cfg)
	if err != nil {
		return nil, err
	}
	if r.Worker, err = worker.New(r.JS, r.watch(client), r.workerConfig(client, o)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Worker.Run(ctx) }()
	return func() error {
		cancel()
		err := <-done
		client.Close()
		transport.CloseIdleConnections()
		return err
	}, nil
}

func (r *Rig) workerConfig(client *redox.Client, o Options) worker.Config {
	cfg := worker.Config{}
	for _, name := range o.Sources {
		cfg.Sources = append(cfg.Sources, worker.Source{Name: name, Scopes: client.Scopes(name), MessageScopes: client.MessageScopes})
	}
	if o.Worker != nil {
		o.Worker(&cfg)
	}
	observe := cfg.Observe
	cfg.Observe = func(e worker.Event) {
		r.note(func() { r.events = append(r.events, e) })
		if observe != nil {
			observe(e)
		}
	}
	return cfg
}

// watch keeps what the worker sends.
func (r *Rig) watch(next worker.Deliverer) worker.Deliverer {
	return worker.DelivererFunc(func(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
		r.note(func() { r.sent = append(r.sent, m) })
		return next.Deliver(ctx, m)
	})
}

func (r *Rig) note(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.changed)
	r.changed = make(chan struct{})
}

// sourceID is a Redox Source ID for each source.
func sourceID(i int) string {
	const digits = "0123456789abcdef"
	id := []byte(SourceID)
	for p := len(id) - 1; i > 0; p, i = p-1, i/16 {
		id[p] = digits[(int(id[p]-'0')+i)%16]
	}
	return string(id)
}

// pipes is a listener in memory: real HTTP without a port, also in fake time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, errors.Join(net.ErrClosed, near.Close(), far.Close())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), near.Close(), far.Close())
	}
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return memory{} }

type memory struct{}

func (memory) Network() string { return "memory" }
func (memory) String() string  { return "memory" }
