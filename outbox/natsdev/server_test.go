package natsdev_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, ignored()...) }

// ignored are goroutines that the server's storage starts once per process.
func ignored() []goleak.Option {
	return []goleak.Option{goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1")}
}

func start(t *testing.T, o natsdev.Options) *natsdev.Server {
	t.Helper()
	s, err := natsdev.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func connect(t *testing.T, s *natsdev.Server, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := s.Connect(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func store(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: "A", Subjects: []string{"a"}}
	if _, err := js.CreateOrUpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
}

func stored(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), "A")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestStart_ZeroOptionsOpenNoPort(t *testing.T) {
	t.Parallel()
	s := start(t, natsdev.Options{})
	if s.URL() != "" {
		t.Errorf("URL %q, want none", s.URL())
	}
	store(t, connect(t, s))
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("temporary directory is left: %v", err)
	}
}

func TestRestart_KeepsDataPortAndClients(t *testing.T) {
	t.Parallel()
	for name, port := range map[string]int{"in process": 0, "over TCP": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, natsdev.Options{Port: port})
			was := s.URL()
			if (port == 0) != (was == "") {
				t.Fatalf("URL %q with port %d", was, port)
			}
			back := make(chan struct{}, 1)
			js := connect(t, s, nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
			store(t, js)
			if err := s.Restart(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-back:
			case <-time.After(2 * time.Minute):
				t.Fatal("the client did not come back")
			}
			if s.URL() != was {
				t.Errorf("URL %q, was %q", s.URL(), was)
			}
			if n := stored(t, js); n != 1 {
				t.Errorf("%d messages after the restart, want 1", n)
			}
		})
	}
}

func TestShutdown_KeepsGivenDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, natsdev.Options{Dir: dir, SyncAlways: true})
	store(t, connect(t, first))
	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Connect(); err == nil {
		t.Error("connected to a server that is shut down")
	}
	if err := first.Restart(); err == nil {
		t.Error("restarted a server that is shut down")
	}
	if n := stored(t, connect(t, start(t, natsdev.Options{Dir: dir}))); n != 1 {
		t.Errorf("%d messages in the second server, want 1", n)
	}
}

func TestStart_ConfigFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := "accounts { A { jetstream: enabled, users: [{user: u, password: p, permissions: {publish: [\"$JS.API.INFO\"]}}] } }\njetstream {}\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, natsdev.Options{ConfigFile: file, Port: -1, MaxPayload: 4096})
	if _, err := s.Connect(); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without a user: %v", err)
	}
	js := connect(t, s, nats.UserInfo("u", "p"))
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Error(err)
	}
	if n := js.Conn().MaxPayload(); n != 4096 {
		t.Errorf("max payload %d, want 4096", n)
	}
}

func port(t *testing.T, s *natsdev.Server) int {
	t.Helper()
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStart_Refuses(t *testing.T) {
	t.Parallel()
	busy := start(t, natsdev.Options{Port: -1})
	file := filepath.Join(t.TempDir(), "bad.conf")
	if err := os.WriteFile(file, []byte("port: {"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts natsdev.Options
		want string
	}{
		"port in use":   {natsdev.Options{Port: port(t, busy)}, "in use"},
		"port":          {natsdev.Options{Port: 70000}, "port 70000"},
		"port below":    {natsdev.Options{Port: -2}, "port -2"},
		"payload":       {natsdev.Options{MaxPayload: -1}, "max payload -1"},
		"no file":       {natsdev.Options{ConfigFile: "/does/not/exist.conf"}, "exist.conf"},
		"broken file":   {natsdev.Options{ConfigFile: file}, "bad.conf"},
		"dir is a file": {natsdev.Options{Dir: file}, "start"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := natsdev.Start(c.opts)
			if err == nil {
				s.Shutdown()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}
