package console_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

var (
	manyLetters = flag.Int("console.letters", 1000, "dead letters of the test of scale")
	manySources = flag.Int("console.sources", 100, "sources of the test of scale")
	paintFor    = flag.Duration("console.paint", time.Minute, "the longest first look at a screen that the test of scale lets pass: the less a machine has to do besides, the less may it be")
)

// scaleServer is in the environment of a process that is a console alone: the server that it looks at.
const scaleServer = "CONSOLE_TEST_SERVER"

// mostMemory is what the process may take in all, in MB, and looks how often it looks at each screen.
const mostMemory, looks = 250, 5

// Each screen is there at once and the memory of the console bounded, however many dead letters and sources
// there are. The console is a process of its own: go test -v -run Scale ./worker/console -args
// -console.letters=100000 -console.sources=5000 -console.paint=300ms prints what it takes.
func TestConsole_Scale(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sources := make([]string, *manySources)
	settings := registry.New(r.js, registry.Options{})
	for i := range sources {
		sources[i] = fmt.Sprintf("clinic-%04d", i)
		_, err := settings.Put(t.Context(), sources[i], config.Source{ID: fmt.Sprintf("7ce6f387-c33c-417d-8682-%012d", i), Key: "main", Environment: "production"}, 0)
		must(t, err)
		_, err = r.js.PublishAsync("redox.out."+sources[i]+".send", []byte(`{}`), jetstream.WithStallWait(time.Minute))
		must(t, err)
	}
	for from := 0; from < *manyLetters; from += 2000 {
		r.bury(from, min(2000, *manyLetters-from), sources...)
	}
	program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$", "-console.paint="+paintFor.String())
	program.Env = append(os.Environ(), scaleServer+"="+r.js.Conn().ConnectedUrl())
	out, err := program.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Logf("%d dead letters, %d sources\n%s", *manyLetters, *manySources, out)
	for line := range strings.Lines(string(out)) {
		if at := strings.Fields(line); len(at) > 1 && at[0] == "slow" {
			t.Error(line)
		}
	}
	if _, rest, ok := strings.Cut(string(out), "memory "); !ok {
		t.Error("it does not say its memory")
	} else if n, _ := strconv.Atoi(strings.Fields(rest)[0]); n > mostMemory {
		t.Errorf("it takes %d MB", n)
	}
}

// scaleProcess is a console alone, which looks at each of its screens and says what that took.
func scaleProcess(server string) error {
	nc, err := nats.Connect(server)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c, err := console.New(console.Config{JS: js, Guard: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r.WithContext(access.With(r.Context(), users["ada"])))
		})
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	look := func(path string) (time.Duration, int, int) {
		r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
		began := time.Now()
		c.ServeHTTP(w, r)
		return time.Since(began), w.Code, w.Body.Len()
	}
	look("/") // the console has just begun, and looks for the first time
	paths := []string{"/", "/dead", "/dead?status=5xx", "/dead?source=clinic-0007", "/dead?error=none+has+this", "/dead/1", "/replays", "/order", "/sources", "/sources?q=0007", "/keys", "/workers", "/outbox", "/audit"}
	for _, path := range paths {
		first, status, size := look(path)
		var longest time.Duration
		for range looks {
			took, _, _ := look(path)
			longest = max(longest, took)
		}
		word := "screen"
		if first > *paintFor && status == http.StatusOK {
			word = "slow"
		}
		fmt.Printf("%s %-28s %d %7.1f ms first, %7.1f ms again at most, %4d kB\n", word, path, status, ms(first), ms(longest), size>>10)
	}
	look("/?all=1")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Printf("memory %d MB at most, %d MB of it in use\n", peak(m), m.HeapInuse>>20)
	cancel()
	return <-ended
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// peak is what the process has taken at most, in MB.
func peak(m runtime.MemStats) uint64 {
	status, _ := os.ReadFile("/proc/self/status")
	if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
		if n, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64); err == nil {
			return n >> 10
		}
	}
	return m.Sys >> 20
}
