package conformance

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// build makes the command once.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "contract")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "redoxworker")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/redoxworker")
	cmd.Dir, cmd.Stderr = "../..", os.Stderr
	return binary, cmd.Run()
})

func TestMain(m *testing.M) {
	binary, err := build()
	if err != nil {
		println("the command cannot be built:", err.Error())
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(filepath.Dir(binary))
	os.Exit(code)
}

// event is a line of `redoxworker dev --json`.
type event struct {
	Event   string `json:"event"`
	NATS    string `json:"nats"`
	Redox   string `json:"redox"`
	Message string `json:"message"`
	Source  string `json:"source"`
	Lane    string `json:"lane"`
	Status  int    `json:"status"`
}

// dev is NATS, a simulated Redox, a worker and the gateway, as `redoxworker dev` runs them.
type dev struct {
	t      *testing.T
	server string // of NATS
	redox  string // the simulator
	secret string // for order tokens

	mu     sync.Mutex
	events []event
	more   chan struct{} // closed and replaced at each event
	ended  bool
}

// startDev returns one that is ready, with its data in a directory, and stops it with the test.
func startDev(t *testing.T, data string) *dev {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "dev", "--json", "--dir", data,
		"--nats-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0", "--admin-listen", "off", "--console-listen", "off")
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d := &dev{t: t, more: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e event
			if err := json.Unmarshal(lines.Bytes(), &e); err == nil {
				d.add(e)
			}
		}
		d.end()
	}()
	t.Cleanup(func() {
		<-read
		_ = cmd.Wait()
	})
	d.await(event{Event: "ready"})
	listening := d.await(event{Event: "listening"})
	d.server, d.redox = listening.NATS, listening.Redox
	secret, err := os.ReadFile(filepath.Join(data, "order.secret"))
	if err != nil {
		t.Fatal(err)
	}
	d.secret = string(secret)
	return d
}

func (d *dev) add(e event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.events = append(d.events, e)
	close(d.more)
	d.more = make(chan struct{})
}

func (d *dev) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	close(d.more)
	d.more = make(chan struct{})
}

// await returns the first event that is as the given one in all that this one says.
func (d *dev) await(want event) event {
	d.t.Helper()
	for {
		d.mu.Lock()
		events, more, ended := d.events, d.more, d.ended
		d.mu.Unlock()
		if i := slices.IndexFunc(events, want.fits); i >= 0 {
			return events[i]
		}
		if ended {
			d.t.Fatalf("redoxworker dev has ended without %+v: %+v", want, events)
		}
		<-more
	}
}

func (want event) fits(e event) bool {
	same := func(want, have string) bool { return want == "" || want == have }
	return same(want.Event, e.Event) && same(want.Message, e.Message) && same(want.Source, e.Source) && same(want.Lane, e.Lane) &&
		(want.Status == 0 || want.Status == e.Status)
}

// count is how often a message was settled.
func (d *dev) count(message string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.events {
		if e.Message == message && !strings.HasPrefix(e.Event, "wait") {
			n++
		}
	}
	return n
}
