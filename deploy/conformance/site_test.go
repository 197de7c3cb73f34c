package conformance

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// site is where an incident happens: NATS, a simulated Redox, and workers whose metrics are read.
type site struct {
	*testing.T
	bin     string // where the command is; empty means what program builds
	dir     string
	file    string
	nats    *natsdev.Server
	port    int
	admin   string
	conn    *nats.Conn
	js      jetstream.JetStream
	sim     *redoxsim.Server
	skew    atomic.Int64  // nanoseconds that Redox's clock is ahead
	failing sync.Map      // the status that Redox answers, by Source ID
	turns   chan struct{} // where there are turns: a failure is answered after another success each
	db      *sql.DB
	workers []*prometheus.Registry
}

// sourceName and sourceID are those of the nth source.
func sourceName(n int) string { return fmt.Sprintf("clinic-%c", 'a'+n) }
func sourceID(n int) string   { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// newSite starts NATS and the simulator, and writes a configuration for so many sources.
func newSite(t *testing.T, sources int, extra string) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), sim: new(redoxsim.Server)}
	var err error
	s.nats, err = natsdev.Start(natsdev.Options{Dir: filepath.Join(s.dir, "nats"), Port: -1})
	s.must(err)
	t.Cleanup(func() { _ = s.nats.Shutdown() })
	u, err := url.Parse(s.nats.URL())
	s.must(err)
	s.port, err = strconv.Atoi(u.Port())
	s.must(err)
	s.conn, err = nats.Connect(s.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	s.must(err)
	t.Cleanup(s.conn.Close)
	s.js, err = jetstream.New(s.conn)
	s.must(err)
	far := httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(func() { s.sim.Release(); far.Close() })
	key, err := auth.GenerateKey(auth.ES384, "k1")
	s.must(err)
	s.must(s.sim.AddOAuthKey("a-client", "k1", key.Public()))
	s.must(auth.WriteKeyFile(filepath.Join(s.dir, "key.pem"), key))
	s.must(os.Mkdir(filepath.Join(s.dir, "sources.d"), 0o700))
	s.admin = "off"
	if strings.Contains(extra, "outbox:") { // a page that commands ask
		ports, err := natsdev.FreePorts(1)
		s.must(err)
		s.admin = fmt.Sprint("127.0.0.1:", ports[0])
	}
	var list strings.Builder
	for n := range sources {
		fmt.Fprintf(&list, "  %s: {id: %s, key: main}\n", sourceName(n), sourceID(n))
	}
	s.file = filepath.Join(s.dir, "redoxworker.yaml")
	s.write("redoxworker.yaml", fmt.Sprintf(`
nats: {url: %q, provision: never}
redox: {base_url: %q}
keys: {main: {client_id: a-client, kid: k1, private_key_file: key.pem}}
sources:
%ssources_dir: sources.d
order: {secret: "an order secret of 32 bytes or so"}
admin: {listen: %q}
log: {level: error}
%s`, s.nats.URL(), far.URL, list.String(), s.admin, extra))
	c := s.load()
	_, err = service.Topology(&c).Ensure(t.Context(), s.js)
	s.must(err)
	return s
}

// answer is the far side: the simulator, with a clock and troubles of single sources.
func (s *site) answer(w http.ResponseWriter, r *http.Request) {
	if ahead := time.Duration(s.skew.Load()); ahead != 0 {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	}
	if status, failing := s.failing.Load(r.Header.Get("Redox-Source-Id")); failing {
		if s.turns != nil {
			_, _ = io.Copy(io.Discard, r.Body) // from then on it is seen that the worker gave up
			select {
			case <-s.turns:
			case <-r.Context().Done():
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status.(int))
		_, _ = w.Write([]byte(`{"Meta":{"Errors":[{"Text":"not now"}]}}`))
		return
	}
	s.sim.ServeHTTP(w, r)
	if s.turns != nil && r.Header.Get("Redox-Source-Id") != "" {
		_ = http.NewResponseController(w).Flush()
		select {
		case s.turns <- struct{}{}:
		default: // none fails at present
		}
	}
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) write(name, text string) {
	s.Helper()
	s.must(os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
}

// settings are those of the file, for a worker that does not wait long at its end.
func (s *site) settings() config.Options {
	return config.Options{File: s.file, Flags: map[string]any{"worker.drain_timeout": "1s"}}
}

func (s *site) load() config.Config {
	s.Helper()
	c, err := config.Load(s.settings())
	s.must(err)
	return *c
}

// work starts a worker, until the test ends or stop is called.
func (s *site) work(version string) (stop func()) {
	s.Helper()
	registry := prometheus.NewRegistry()
	settings := s.settings()
	w, err := service.New(s.load(), service.Options{Registerer: registry, Version: version, Database: s.db, Settings: &settings})
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	})
	s.Cleanup(stop)
	s.workers = append(s.workers, registry)
	s.shows("ready", func(m metrics) bool { return m.of(len(s.workers)-1).max("redoxworker_ready") == 1 })
	return stop
}

// publish stores n messages of a source, each for a destination of that source.
func (s *site) publish(source string, n int) {
	s.Helper()
	p, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{})
	s.must(err)
	for range n {
		_, err := p.Publish(s.Context(), outbox.Message{Source: source, Body: s.body(source)})
		s.must(err)
	}
}

func (s *site) body(destination string) []byte {
	return fmt.Appendf(nil, `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Destinations":[{"ID":%q}]},
		"Patient":{"Identifiers":[{"ID":"1","IDType":"MRN"}],"Demographics":{"LastName":"Doe"}}}`, destination)
}

// shows waits until the metrics say what they should.
func (s *site) shows(what string, is func(metrics) bool) {
	s.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for m := s.scrape(); !is(m); m = s.scrape() {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("%s: not within a minute:\n%s", what, m)
		}
	}
}
