package checkcmd

import (
	"context"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// Whatever hangs, check comes to an end, says what, and looks at everything else.
func TestCheck_NeverHangs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		plant func(w *world)
		want  string
		whole string
	}{
		"NATS":  {func(w *world) { w.set = append(w.set, "nats.url=nats://"+silent(t)) }, "^nats : nats: cannot connect", checkRedox},
		"Redox": {func(w *world) { w.set = append(w.set, "redox.base_url=http://"+silent(t)) }, `^redox redox.base_url: cannot be reached: 127.0.0.1:\d+ does not answer: no answer within 5s`, checkStreams},
		"PostgreSQL": {func(w *world) {
			w.set = append(w.set, "outbox.driver=postgres", "outbox.dsn=postgres://u:s3cret@"+silent(t)+"/db?sslmode=disable")
		}, "^outbox outbox.dsn: no connection: no answer within 5s; check the database's address", checkStreams},
		"MySQL": {func(w *world) {
			w.set = append(w.set, "outbox.driver=mysql", "outbox.dsn=u:s3cret@tcp("+silent(t)+")/db")
		}, "^outbox outbox.dsn: no connection: ", checkStreams},
		"a key's file": {func(w *world) {
			w.must(exec.CommandContext(w.Context(), "mkfifo", w.path("pipe")).Run())
			w.set = append(w.set, "keys.main.private_key_file="+w.path("pipe"))
		}, "^config : no end after 5s; look why it hangs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "")
			w.TB = t
			tt.plant(w)
			r := w.check("--timeout", "5s")
			w.finds(r, statusFault, tt.want)
			for _, f := range r.Findings {
				if f.Check == tt.whole && f.Status != statusOK {
					t.Errorf("also: %v", f)
				}
				if strings.Contains(f.Text+f.Subject+f.Mend, "s3cret") {
					t.Errorf("a secret: %v", f)
				}
			}
		})
	}
}

// A token endpoint that hangs is the keys' fault, of all of them alike.
func TestCheck_KeysThatHangAreOneFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	gone := make(chan struct{})
	w.set = append(w.set, "redox.token_url="+w.serves(func(r *http.Request) {
		if r.Method == http.MethodPost {
			<-gone
		}
	}))
	t.Cleanup(func() { close(gone) }) // before the server waits for its answers
	for _, name := range []string{"a", "b", "c", "d"} {
		w.set = append(w.set, "keys."+name+".client_id=client", "keys."+name+".kid=main", "keys."+name+".private_key_file="+w.path("main.pem"),
			"sources."+name+".id=8ce6f387-c33c-417d-8682-81e83628cbd9", "sources."+name+".key="+name)
	}
	out, code := w.run("check", "--token", "--timeout", "500ms")
	if code != 1 || strings.Count(out, "✗ keys") != 2 || !strings.Contains(out, "and 3 like it (--all shows them): c (current, ES384, kid \"main\"), d ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	out, _ = w.run("check", "--token", "--timeout", "500ms", "--all")
	if strings.Count(out, "✗ keys") != 5 {
		t.Errorf("all:\n%s", out)
	}
}

// A check that does not hear of its end is left alone, and nothing of it is heard any more.
func TestRunner_LeavesAloneWhatHangs(t *testing.T) {
	t.Parallel()
	r := newReport()
	run := &runner{report: r}
	late, heard := make(chan struct{}), make(chan struct{})
	run.check(t.Context(), checkNATS, time.Millisecond, func(context.Context) {
		<-late
		r.fault(checkNATS, "", "too late", "")
		close(heard)
	})
	run.check(t.Context(), checkRedox, time.Minute, func(context.Context) { panic("s3cret") })
	run.wait()
	close(late)
	<-heard
	got := r.result(0).found(statusFault)
	if len(got) != 2 || !strings.HasPrefix(got[0], "nats : no end after 1ms") || got[1] != "redox : the check itself failed: string; report it to the maintainers" {
		t.Errorf("%q", got)
	}
}
