package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// stage is what the command plays on: a NATS server on TCP, a simulated Redox on HTTP, a
// key and a configuration file.
type stage struct {
	testing.TB
	nats   *natsdev.Server
	store  string // its directory
	js     jetstream.JetStream
	sim    *redoxsim.Server
	far    string // its URL
	admin  string
	config string
	key    auth.Key
}

const (
	sourceID    = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	clientID    = "0f2d7b1e-client"
	orderSecret = "an order secret of 32 bytes or so"
)

func newStage(t testing.TB, sim *redoxsim.Server, extra string) *stage {
	t.Helper()
	s := &stage{TB: t, sim: sim, store: t.TempDir()}
	var err error
	if s.nats, err = natsdev.Start(natsdev.Options{Dir: s.store, Port: -1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.nats.Shutdown() })
	conn, err := nats.Connect(s.nats.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if s.js, err = jetstream.New(conn); err != nil {
		t.Fatal(err)
	}
	far := httptest.NewServer(sim)
	t.Cleanup(func() { sim.Release(); far.Close() })
	s.far = far.URL
	if s.key, err = auth.GenerateKey(auth.RS384, "stage"); err != nil {
		t.Fatal(err)
	}
	if err := sim.AddOAuthKey(clientID, "stage", s.key.Public()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key.pem")
	if err := auth.WriteKeyFile(keyFile, s.key); err != nil {
		t.Fatal(err)
	}
	s.admin = freeAddress(t)
	s.config = filepath.Join(dir, "redoxworker.yaml")
	if !strings.Contains(extra, "quota:") {
		extra = "quota: {scope: none}\n" + extra
	}
	text := fmt.Sprintf(`
nats: {url: %q}
redox: {base_url: %q}
keys:
  main: {client_id: %s, kid: stage, private_key_file: %s}
  # more keys
sources:
  clinic-a: {id: %s, key: main}
  # more sources
order: {secret: %q}
admin: {listen: %q}
log: {level: debug}
%s`, s.nats.URL(), far.URL, clientID, keyFile, sourceID, orderSecret, s.admin, extra)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// addKey writes a key file and configures an OAuth key with it, before the worker runs.
func (s *stage) addKey(name, clientID string, key auth.Key) {
	s.Helper()
	file := filepath.Join(filepath.Dir(s.config), name+".pem")
	if err := auth.WriteKeyFile(file, key); err != nil {
		s.Fatal(err)
	}
	s.configure("  # more keys", fmt.Sprintf("  %s: {client_id: %s, kid: %s, private_key_file: %s}\n", name, clientID, key.ID(), file))
}

// addSource configures one more source, before the worker runs.
func (s *stage) addSource(name, id, key string) {
	s.Helper()
	s.configure("  # more sources", fmt.Sprintf("  %s: {id: %s, key: %s}\n", name, id, key))
}

// configure puts text before a mark in the configuration file, before the worker runs.
func (s *stage) configure(mark, text string) {
	s.Helper()
	s.reconfigure(mark, text+mark)
}

// reconfigure replaces a text of the configuration file.
func (s *stage) reconfigure(old, text string) {
	s.Helper()
	have, err := os.ReadFile(s.config)
	if err != nil {
		s.Fatal(err)
	}
	if !strings.Contains(string(have), old) {
		s.Fatalf("the configuration has no %q", old)
	}
	if err := os.WriteFile(s.config, []byte(strings.Replace(string(have), old, text, 1)), 0o600); err != nil {
		s.Fatal(err)
	}
}

// embedded is a NATS server without a port, for what needs streams and no stage.
func embedded(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, js
}

// freeAddress is one that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	ports, err := natsdev.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}

// output collects a stream and can be read meanwhile.
type output = clitest.Output

// inProcess is a `redoxworker run` in this process.
type inProcess struct {
	out, err output
	stop     func() int // exit code
}

// run starts the worker and waits until it is ready.
func (s *stage) run() *inProcess {
	s.Helper()
	r := s.launch()
	s.awaitReady(func() string { return r.err.String() })
	return r
}

// launch starts the worker.
func (s *stage) launch() *inProcess {
	s.Helper()
	r := &inProcess{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, cli.App{Args: []string{"run", "--config", s.config}, Stdout: &r.out, Stderr: &r.err, Stdin: strings.NewReader("")})
	}()
	r.stop = sync.OnceValue(func() int { cancel(); return <-done })
	s.Cleanup(func() { r.stop() })
	return r
}

func (s *stage) awaitReady(log func() string) {
	s.Helper()
	s.eventually("ready", func() bool {
		response, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	}, log)
}

// eventually is clitest.Eventually.
func (s *stage) eventually(what string, cond func() bool, log ...func() string) {
	s.Helper()
	clitest.Eventually(s, what, cond, log...)
}

// binary is a redoxworker binary that was started.
type binary struct {
	*exec.Cmd
	out, err output
}

// start runs the real binary, with flags, and waits until it is ready.
func (s *stage) start(flags ...string) *binary {
	s.Helper()
	p := s.launchBinary(flags...)
	s.awaitReady(func() string { return p.err.String() })
	return p
}

// launchBinary starts the real binary.
func (s *stage) launchBinary(flags ...string) *binary {
	s.Helper()
	path := clitest.Build(s)
	p := &binary{Cmd: exec.Command(path, append([]string{"run", "--config", s.config}, flags...)...)}
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// publisher of the stage's order secret.
func (s *stage) publisher() *outbox.Publisher {
	s.Helper()
	p, err := outbox.NewPublisher(s.js, outbox.PublisherConfig{OrderSecret: []byte(orderSecret)})
	if err != nil {
		s.Fatal(err)
	}
	return p
}

// queued counts the messages of a stream.
func (s *stage) queued(stream string) uint64 {
	s.Helper()
	st, err := s.js.Stream(s.Context(), stream)
	if err != nil {
		s.Fatal(err)
	}
	return st.CachedInfo().State.Msgs
}

// drained waits until the work queue is empty.
func (s *stage) drained(log ...func() string) {
	s.Helper()
	s.eventually("REDOX_OUT is empty", func() bool { return s.queued("REDOX_OUT") == 0 }, log...)
}

// messages are the arrivals of data-model messages, without token requests.
func (s *stage) messages() []redoxsim.Arrival {
	var list []redoxsim.Arrival
	for _, a := range s.sim.Arrivals() {
		if a.Path == "/endpoint" {
			list = append(list, a)
		}
	}
	return list
}

// admit is a small message with a name of its own.
func admit(name string) []byte {
	body, err := json.Marshal(map[string]any{
		"Meta": map[string]any{"DataModel": "PatientAdmin", "EventType": "Arrival", "Test": true,
			"Destinations": []any{map[string]any{"ID": "af394f14-b34a-464f-8d24-895f370af4c9", "Name": "Redox EMR"}}},
		"Patient": map[string]any{"Identifiers": []any{map[string]any{"ID": name, "IDType": "MR"}},
			"Demographics": map[string]any{"FirstName": "Timothy", "LastName": "Bixby"}},
		"_sim": map[string]any{"key": name},
	})
	if err != nil {
		panic(err)
	}
	return body
}
