package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

var adds = flag.Int("adds", 0, "how many sources TestSourcesAdd_WhileAFleetWorks adds, each of which must be served within two seconds; by default a few, whatever they take")

// sourcesFleet is a stage with three workers, which are processes, and with sources that always
// have messages.
type sourcesFleet struct {
	*stage
	binary  string
	workers []*binary
	admins  []string // their addresses
	busy    []string

	publishing sync.WaitGroup
	stop       atomic.Bool
	mu         sync.Mutex
	published  []string // keys of messages
	seen       uint64   // arrivals that were looked through for a key
}

func newSourcesFleet(t *testing.T) *sourcesFleet {
	t.Helper()
	f := &sourcesFleet{stage: newStage(t, &redoxsim.Server{}, "registry: true\n"), busy: []string{"clinic-a", "clinic-b", "clinic-c"}}
	f.addSource("clinic-b", "00000000-0000-0000-0000-00000000000b", "main")
	f.addSource("clinic-c", "00000000-0000-0000-0000-00000000000c", "main")
	f.binary = clitest.Build(t)
	for range 3 {
		f.admin = freeAddress(t)
		f.admins = append(f.admins, f.admin)
		f.workers = append(f.workers, f.start("--set", "admin.listen="+f.admin, "--log-level", "info"))
	}
	return f
}

// command runs the binary and returns its exit code and what it printed.
func (f *sourcesFleet) command(args ...string) (code int, printed string) {
	f.Helper()
	text, err := exec.Command(f.binary, append(args, "--config", f.config)...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), string(text)
	} else if err != nil {
		f.Fatal(err)
	}
	return 0, string(text)
}

func (f *sourcesFleet) must(args ...string) {
	f.Helper()
	if code, printed := f.command(args...); code != 0 {
		f.Fatalf("%v: exit code %d: %s", args, code, printed)
	}
}

// load publishes messages of the busy sources until quiet, in the order of their names.
func (f *sourcesFleet) load() {
	p := f.publisher()
	f.publishing.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; !f.stop.Load(); n++ {
			<-tick.C
			f.publish(p, f.busy[n%len(f.busy)], "patient-"+strconv.Itoa(n%40), n)
		}
	})
}

func (f *sourcesFleet) quiet() {
	f.stop.Store(true)
	f.publishing.Wait()
}

// publish stores an ordered message, and notes it. It returns its key.
func (f *sourcesFleet) publish(p *outbox.Publisher, source, patient string, n int) string {
	key := fmt.Sprintf("%s/%s/%d", source, patient, n)
	_, err := p.Publish(f.Context(), outbox.Message{ID: key, Source: source, Lane: contract.LaneOrdered, OrderKey: patient, Body: admit(key)})
	if err != nil {
		f.Error(err)
		return key
	}
	f.note(key)
	return key
}

func (f *sourcesFleet) note(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published = append(f.published, key)
}

// arrived waits until Redox has taken the message with a key.
func (f *sourcesFleet) arrived(key string) {
	f.Helper()
	f.eventually(key+" is delivered", func() bool {
		ended := true // all so far
		for _, a := range f.sim.ArrivalsAfter(f.seen, 0) {
			if a.Key == key && a.Accepted {
				return true
			}
			if ended = ended && a.Finish != 0; ended {
				f.seen = a.Seq
			}
		}
		return false
	}, f.workers[0].err.String)
}

// serves is how many sources the worker with an address serves.
func (f *sourcesFleet) serves(admin string) int {
	f.Helper()
	answer, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		f.Fatal(err)
	}
	defer answer.Body.Close()
	var status service.Status
	if err := json.NewDecoder(answer.Body).Decode(&status); err != nil {
		f.Fatal(err)
	}
	return status.Sources.Sources
}

// throughGateway has a message stored as soon as a gateway serves the source.
func (f *sourcesFleet) throughGateway(source, patient string) string {
	f.Helper()
	key := source + "/" + patient + "/0"
	f.eventually("a gateway serves "+source, func() bool {
		answer, err := f.js.Conn().RequestMsg(&nats.Msg{Subject: "redox.gateway." + source + ".send", Data: admit(key),
			Header: nats.Header{contract.HeaderMessageID: {key}, contract.HeaderOrderKey: {patient}}}, time.Minute)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return false
		case err != nil:
			f.Fatal(err)
		case answer.Header.Get("Nats-Service-Error") != "":
			f.Fatal(answer.Header)
		}
		return true
	}, f.workers[0].err.String)
	f.note(key)
	return key
}

// end stops the workers, which have done everything that was published once and in order, and
// never lost their connection.
func (f *sourcesFleet) end() {
	f.Helper()
	f.drained(f.workers[0].err.String)
	for i, w := range f.workers {
		if err := w.Process.Signal(syscall.SIGTERM); err != nil {
			f.Fatal(err)
		}
		if err := w.Wait(); err != nil {
			f.Errorf("worker %d: %v", i, err)
		}
		if log := w.err.String(); strings.Contains(log, `"nats: disconnected"`) || strings.Contains(log, `"level":"ERROR"`) {
			f.Errorf("worker %d lost its connection, or something failed:\n%s", i, log)
		}
	}
	taken, last := map[string]int{}, map[string]int{}
	for _, a := range f.messages() {
		if !a.Accepted {
			continue
		}
		taken[a.Key]++
		cut := strings.LastIndexByte(a.Key, '/')
		n, err := strconv.Atoi(a.Key[cut+1:])
		if before, again := last[a.Key[:cut]]; err != nil || again && n <= before {
			f.Errorf("%s came after number %d", a.Key, before)
		}
		last[a.Key[:cut]] = n
	}
	for _, key := range f.published {
		if taken[key] != 1 {
			f.Errorf("%s was delivered %d times", key, taken[key])
		}
	}
	if len(taken) != len(f.published) {
		f.Errorf("%d messages were published and %d delivered", len(f.published), len(taken))
	}
}

// Sources are added while three workers are busy: each is served a moment after the command,
// through the library and through the gateway, no worker loses its connection, and what is busy
// loses, doubles and confuses nothing. `go test ./cmd/redoxworker -run TestSourcesAdd_ -adds 200`
// is the long version.
func TestSourcesAdd_WhileAFleetWorks(t *testing.T) {
	t.Parallel()
	f := newSourcesFleet(t)
	f.load()
	defer f.quiet()
	p, took := f.publisher(), []time.Duration(nil)
	for i := range max(*adds, 6) {
		name := fmt.Sprintf("new-%03d", i)
		f.must("sources", "add", name, "--key", "main", "--id", fmt.Sprintf("11111111-0000-0000-0000-%012d", i))
		from, key := time.Now(), ""
		if i%2 == 0 {
			key = f.publish(p, name, "first", 0)
		} else {
			key = f.throughGateway(name, "first")
		}
		f.arrived(key)
		took = append(took, time.Since(from))
	}
	f.quiet()
	slices.Sort(took)
	t.Logf("first delivery after %d times sources add: p50 %v, p99 %v, max %v, beside %d messages of others",
		len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1], len(f.published)-len(took))
	if *adds > 0 && took[len(took)-1] > 2*time.Second {
		t.Error("a first delivery took over two seconds")
	}
	f.end()
}

// A source with messages is not removed; when it is all the same, what is in flight of it ends and
// nothing new of it is sent, until it is back.
func TestSourcesRm_WhileAFleetWorks(t *testing.T) {
	t.Parallel()
	f := newSourcesFleet(t)
	f.sim.SetRules(redoxsim.Rule{Contains: "leaves/slow", Fault: redoxsim.Fault{Delay: time.Hour}})
	f.load()
	defer f.quiet()
	p, add := f.publisher(), []string{"sources", "add", "leaves", "--key", "main", "--id", "11111111-0000-0000-0000-000000000000"}
	f.must(add...)
	f.arrived(f.publish(p, "leaves", "patient", 0))
	slow := f.publish(p, "leaves", "slow", 1)
	f.eventually("its request is on its way", func() bool {
		return slices.ContainsFunc(f.messages(), func(a redoxsim.Arrival) bool { return a.Key == slow })
	})
	if code, printed := f.command("sources", "rm", "leaves"); code != 1 || !strings.Contains(printed, "leaves: ") || !strings.Contains(printed, "are in the queue") {
		t.Errorf("exit code %d: %s", code, printed)
	}
	f.must("sources", "rm", "leaves", "--force")
	for i, admin := range f.admins {
		f.eventually("a worker knows", func() bool { return f.serves(admin) == 3 }, f.workers[i].err.String)
	}
	waits := f.publish(p, "leaves", "later", 2)
	f.sim.Release() // what is slow is answered
	f.arrived(slow)
	f.quiet()
	f.eventually("only the message of the removed source is left", func() bool { return f.queued("REDOX_OUT") == 1 }, f.workers[0].err.String)
	if slices.ContainsFunc(f.messages(), func(a redoxsim.Arrival) bool { return a.Key == waits }) {
		t.Error("a message of a removed source was sent")
	}
	f.must(add...)
	f.arrived(waits)
	f.end()
}
