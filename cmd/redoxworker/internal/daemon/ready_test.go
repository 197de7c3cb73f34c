package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
)

type readyGrammar struct {
	cli.Globals
	Ready ReadyCommand `cmd:""`
}

// ready runs the command; it answers the exit code and what was printed.
func ready(t *testing.T, environ []string, flags ...string) (code int, out string) {
	t.Helper()
	a, stdout, stderr := clitest.App(append([]string{"ready"}, flags...)...)
	a.Environ = append(a.Environ, environ...)
	code = cli.Execute(t.Context(), *a, new(readyGrammar))
	return code, stdout.String() + stderr.String()
}

// What the worker waits for is said however long its page is, and in a line that a terminal shows.
func TestReady_OfAPageThatIsLong(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"waits_for": "NATS\n\u001b[2J", "problems": ["` + strings.Repeat("x", 2<<20) + `"]}`))
	}))
	defer s.Close()
	if code, out := ready(t, nil, "--address", s.URL+"/"); code != 1 || out != "not ready; waits for NATS \uFFFD[2J\n" {
		t.Errorf("exit %d, %s", code, out)
	}
}

// A page of something else is no worker's, nor one that it sends elsewhere for.
func TestReady_OfSomethingElse(t *testing.T) {
	t.Parallel()
	for _, handler := range []http.Handler{http.NotFoundHandler(), http.RedirectHandler("/", http.StatusFound), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cret", http.StatusServiceUnavailable) })} {
		s := httptest.NewServer(handler)
		if code, out := ready(t, nil, "--address", s.URL); code != 1 || !strings.HasSuffix(out, "at /readyz; is it a worker?\n") || strings.Contains(out, "s3cret") {
			t.Errorf("exit %d, %s", code, out)
		}
		s.Close()
	}
}

func TestReady_Address(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		environ, flags string
		want           string // "" where it is refused
	}{
		{"", "--address=[::]:1", "127.0.0.1:1"}, {"", "--address=0.0.0.0:1", "127.0.0.1:1"}, {"", "--address=:1", "127.0.0.1:1"},
		{"", "--address=[::1]:1", "[::1]:1"}, {"", "--address=[fe80::1%none]:1", "[fe80::1%none]:1"}, {"", "--address=http://127.0.0.1:1/", "127.0.0.1:1"},
		{":2", "", "127.0.0.1:2"}, {":2", "--set=admin.listen=:1", "127.0.0.1:1"}, {"", "--set=admin.listen=127.0.0.1:1", "127.0.0.1:1"},
		{"off", "", ""}, {"", "--address=unix:/run/x", ""}, {"", "--address=127.0.0.1", ""}, {"", "--address=http://127.0.0.1:1/readyz", ""}, {"", "--address=u:p@127.0.0.1:1", ""},
	} {
		var environ, flags []string
		if tt.environ != "" {
			environ = append(environ, "REDOXWORKER_ADMIN_LISTEN="+tt.environ)
		}
		if tt.flags != "" {
			flags = append(flags, tt.flags)
		}
		code, out := ready(t, environ, flags...)
		switch {
		case tt.want == "" && code != 2:
			t.Errorf("%v: exit %d, %s", tt, code, out)
		case tt.want != "" && (code != 1 || !strings.Contains(out, "does not answer at "+tt.want+": dial ")):
			t.Errorf("%v: exit %d, %s", tt, code, out)
		}
	}
}
