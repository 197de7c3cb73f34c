package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// rig is a world of a test.
type rig struct {
	*testing.T
	*world
}

func newRig(t *testing.T, sim *redoxsim.Server, sources, extra string) *rig {
	t.Helper()
	w, err := newWorld(sim, sources, extra)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	return &rig{t, w}
}

func (r *rig) config(flags map[string]any) config.Config {
	r.Helper()
	c, err := r.configure(flags)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

// running is a service that runs.
type running struct {
	*service.Service
	rig   *rig
	stop  context.CancelFunc
	ended chan error
}

// start runs a service and waits until it is ready.
func (r *rig) start(c config.Config, o service.Options) *running {
	r.Helper()
	s, err := service.New(c, o)
	if err != nil {
		r.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	run := &running{s, r, stop, make(chan error, 1)}
	go func() { run.ended <- s.Run(ctx) }()
	r.Cleanup(func() { stop(); run.ended <- <-run.ended })
	r.eventually("ready", func() bool { return s.Status().Ready })
	return run
}

// end stops it and returns what Run did.
func (s *running) end() error {
	s.stop()
	err := <-s.ended
	s.ended <- err
	return err
}

func (r *rig) eventually(what string, is func() bool) {
	r.Helper()
	for limit := time.Now().Add(3 * time.Minute); !is(); {
		if time.Now().After(limit) {
			r.Fatalf("not within three minutes: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// deliver publishes a SEND under a prefix and demands that it is delivered.
func (r *rig) deliver(prefix contract.Prefix, source, id string) {
	r.Helper()
	p, err := r.publisher(prefix)
	if err != nil {
		r.Fatal(err)
	}
	reply, err := p.Request(r.Context(), outbox.Message{ID: id, Source: source, Lane: contract.LaneSend, Body: admit(id)})
	if err != nil || !reply.OK() {
		r.Fatalf("%s: %+v %v", id, reply, err)
	}
}

const oneClinic = "clinic-a: {id: " + clinicA + ", key: main}"

// Two services of a process, with queues and quotas of their own, share a registry and nothing
// else. A third under a name that is taken is an error, and no panic; what ends leaves nothing
// behind.
func TestService_TwoOnOneRegistry(t *testing.T) {
	t.Parallel()
	r := newRig(t, &redoxsim.Server{}, oneClinic, "quota: {requests: 700, per: 10s}")
	registry := prometheus.NewRegistry()
	first := r.start(r.config(map[string]any{"nats.prefix": "one"}), service.Options{Name: "one", Registerer: registry})
	second := r.start(r.config(map[string]any{"nats.prefix": "two"}), service.Options{Name: "two", Registerer: registry})
	r.deliver("one", "clinic-a", "m-1")
	r.deliver("two", "clinic-a", "m-1")
	r.deliver("two", "clinic-a", "m-2")
	r.eventually("one and two are settled", func() bool { return settled(registry, "one") == 1 && settled(registry, "two") == 2 })
	for name, says := range map[string]string{"two": "another service has its metrics in this registry", "": "another service has its metrics in this registry"} {
		_, err := service.New(r.config(nil), service.Options{Name: name, Registerer: registry})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("a service called %q: %v", name, err)
		}
	}
	if err := first.end(); err != nil {
		t.Error(err)
	}
	if settled(registry, "one") != 0 || settled(registry, "two") != 2 {
		t.Error("metrics of the service that has ended are there, or those of the other are not")
	}
	r.deliver("two", "clinic-a", "m-3")
	again := r.start(r.config(map[string]any{"nats.prefix": "one"}), service.Options{Name: "one", Registerer: registry})
	r.deliver("one", "clinic-a", "m-4")
	if err := errors.Join(again.end(), second.end()); err != nil {
		t.Error(err)
	}
	if left, err := registry.Gather(); err != nil || len(left) != 0 {
		t.Errorf("%d families are left, %v", len(left), err)
	}
}

// A mistake shows before anything runs, is marked as one, and leaves the registry as it was.
func TestNew_MistakesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	r := newRig(t, &redoxsim.Server{}, oneClinic, "")
	for key, value := range map[string]any{"audit.file": "/nowhere/at/all", "redox.ca_file": r.file} {
		registry := prometheus.NewRegistry()
		_, err := service.New(r.config(map[string]any{key: value}), service.Options{Registerer: registry})
		if !errors.As(err, new(config.Mistake)) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
		if left, err := registry.Gather(); err != nil || len(left) != 0 {
			t.Errorf("%s: %d families are left, %v", key, len(left), err)
		}
	}
}

// Middleware that fails is an error of New.
func TestNew_MiddlewareThatFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, &redoxsim.Server{}, oneClinic, "")
	for says, middleware := range map[string]func(worker.Deliverer) worker.Deliverer{
		"panicked":     func(worker.Deliverer) worker.Deliverer { panic("patient 17") },
		"returned nil": func(worker.Deliverer) worker.Deliverer { return nil },
	} {
		_, err := service.New(r.config(nil), service.Options{Middleware: middleware})
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "patient") {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// Middleware and an observer that panic stop nothing.
func TestService_UserCodeThatPanics(t *testing.T) {
	t.Parallel()
	r := newRig(t, &redoxsim.Server{}, oneClinic, "worker: {retry: {initial: 1ms}}")
	var panics sync.Map
	run := r.start(r.config(nil), service.Options{
		Observe: func(worker.Event) { panic("observe") },
		Middleware: func(next worker.Deliverer) worker.Deliverer {
			return worker.DelivererFunc(func(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
				if _, again := panics.LoadOrStore(m.ID, true); !again {
					panic("middleware")
				}
				return next.Deliver(ctx, m)
			})
		},
	})
	r.deliver("", "clinic-a", "m-1")
	if err := run.end(); err != nil {
		t.Error(err)
	}
}

// Run is called once, and not after Close.
func TestService_RunsOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, &redoxsim.Server{}, oneClinic, "")
	run := r.start(r.config(nil), service.Options{})
	if err := run.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "called twice") {
		t.Error(err)
	}
	if err := run.end(); err != nil {
		t.Error(err)
	}
	closed, err := service.New(r.config(nil), service.Options{})
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	closed.Close()
	if err := closed.Run(t.Context()); err == nil {
		t.Error("a service that was closed runs")
	}
}

// The program's own connection is used, outlives the service, and is followed: what is waited
// for while it is down shows, and that somebody closes it ends Run.
func TestService_ConnectionOfTheProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t, &redoxsim.Server{}, oneClinic, "")
	connect := func() *nats.Conn {
		conn, err := nats.Connect(r.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	conn := connect()
	run := r.start(r.config(map[string]any{"nats.url": "nats://127.0.0.1:1"}), service.Options{NATS: conn}) // which it does not look at
	r.deliver("", "clinic-a", "m-1")
	if err := r.nats.Restart(); err != nil {
		t.Fatal(err)
	}
	r.eventually("ready again", func() bool { s := run.Status(); return s.Ready && s.WaitsFor == "" })
	r.deliver("", "clinic-a", "m-2")
	if err := run.end(); err != nil || !conn.IsConnected() {
		t.Errorf("%v; connected: %v", err, conn.IsConnected())
	}

	closed := connect()
	run = r.start(r.config(map[string]any{"worker.drain_timeout": "1s"}), service.Options{NATS: closed})
	closed.Close()
	r.eventually("what is waited for", func() bool { return strings.HasPrefix(run.Status().WaitsFor, "NATS at nats://127.0.0.1:") })
	err := <-run.ended
	run.ended <- err
	if err == nil || !strings.Contains(err.Error(), "keep it open until Run has returned") {
		t.Error(err)
	}
}

// A service drains in its order: what is in flight is answered, with its quota, its pages and its
// connection, and Run returns after that.
func TestService_DrainsInOrder(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	sim := &redoxsim.Server{Fault: func(q redoxsim.Request) *redoxsim.Fault {
		if q.Path == redoxsim.PathEndpoint {
			close(arrived)
			<-release
		}
		return nil
	}}
	r := newRig(t, sim, oneClinic, "quota: {requests: 700, per: 10s}")
	log := &lines{}
	run := r.start(r.config(map[string]any{"admin.listen": "127.0.0.1:0"}), service.Options{Logger: slog.New(slog.NewJSONHandler(log, nil))})
	address := regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(log.String())
	if address == nil {
		t.Fatal(log.String())
	}
	replied := make(chan outbox.Reply, 1)
	go func() {
		p, err := r.publisher("")
		if err != nil {
			t.Error(err)
			return
		}
		reply, err := p.Request(t.Context(), outbox.Message{ID: "m-1", Source: "clinic-a", Lane: contract.LaneSend, Body: admit("1")})
		if err != nil {
			t.Error(err)
		}
		replied <- reply
	}()
	<-arrived
	pages := httptest.NewServer(run.Handler())
	t.Cleanup(pages.Close)
	run.stop()
	r.eventually("draining", func() bool { return !ready(t, pages.URL).Gateway })
	if s := ready(t, "http://"+address[1]); s.Worker.InFlight != 1 || s.NATS != "CONNECTED" || s.Quota == nil {
		t.Errorf("while it drains: %+v", s)
	}
	select {
	case err := <-run.ended:
		t.Fatalf("Run returned before what was in flight: %v", err)
	default:
	}
	close(release)
	if reply := <-replied; !reply.OK() || reply.Attempts != 1 {
		t.Errorf("%+v", reply)
	}
	if err := run.end(); err != nil {
		t.Error(err)
	}
	if s := ready(t, pages.URL); s.Ready || s.NATS != "CLOSED" {
		t.Errorf("afterwards: %+v", s)
	}
	rest := log.String()
	for _, line := range []string{`"admin listener"`, `"nats: connected"`, `"gateway started"`, `"worker stopped"`} {
		var ok bool
		if _, rest, ok = strings.Cut(rest, line); !ok {
			t.Fatalf("%s is missing or too early: %s", line, log.String())
		}
	}
}

// lines are a log that can be read meanwhile.
type lines struct {
	mu   sync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// ready is the body of /readyz.
func ready(t *testing.T, url string) (s service.Status) {
	t.Helper()
	response, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
