package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// deadMorning is a thousand messages of which every one fails, each in its way, until it
// is mended.
type deadMorning struct {
	*stage
	broken atomic.Bool
	keys   []string // of the messages; those of an order key in order
}

const (
	morning      = 1000
	orderedKeys  = 10
	perOrdered   = 10
	deadLetterOf = "%s-%03d"
)

func newDeadMorning(t *testing.T) *deadMorning {
	t.Helper()
	m := &deadMorning{}
	m.broken.Store(true)
	sim := &redoxsim.Server{Fault: func(r redoxsim.Request) *redoxsim.Fault {
		if !m.broken.Load() || r.Path != "/endpoint" {
			return nil
		}
		switch kind, _, _ := strings.Cut(r.Key, "-"); {
		case kind == "rejected", kind == "ordered" && strings.HasSuffix(r.Key, "-000"):
			return &redoxsim.Fault{Status: 400}
		case kind == "exhausted":
			return &redoxsim.Fault{Status: 503}
		case kind == "held":
			return &redoxsim.Fault{Action: redoxsim.Reset}
		}
		return nil
	}}
	m.stage = newStage(t, sim, "")
	return m
}

// daemon runs the real binary with what the morning needs.
func (m *deadMorning) daemon(set ...string) *binary {
	m.Helper()
	var flags []string
	for _, one := range append([]string{"worker.retry.max_attempts=1", "worker.breaker_after=0", "sources.clinic-a.on_unknown=hold", "order.after_dead_letter=hold"}, set...) {
		flags = append(flags, "--set", one)
	}
	return m.start(flags...)
}

// publish a thousand messages.
func (m *deadMorning) publish() {
	m.Helper()
	p := m.publisher()
	var all sync.WaitGroup
	send := func(msg outbox.Message) {
		msg.Source, msg.Body = "clinic-a", admit(msg.ID)
		m.keys = append(m.keys, msg.ID)
		all.Go(func() {
			if _, err := p.Publish(m.Context(), msg); err != nil {
				m.Errorf("%s: %v", msg.ID, err)
			}
		})
	}
	for i := range 225 {
		send(outbox.Message{ID: fmt.Sprintf(deadLetterOf, "rejected", i)})
		send(outbox.Message{ID: fmt.Sprintf(deadLetterOf, "exhausted", i)})
		send(outbox.Message{ID: fmt.Sprintf(deadLetterOf, "held", i)})
		if i < 125 {
			send(outbox.Message{ID: fmt.Sprintf(deadLetterOf, "expired", i), Deadline: time.Now().Add(-time.Minute)})
		}
		if i < 100 {
			send(outbox.Message{ID: fmt.Sprintf(deadLetterOf, "poison", i), ReplyTo: "elsewhere.x"})
		}
		if i%32 == 0 {
			all.Wait()
		}
	}
	for key := range orderedKeys {
		for i := range perOrdered {
			send(outbox.Message{ID: fmt.Sprintf(deadLetterOf, fmt.Sprintf("ordered-%d", key), i), OrderKey: fmt.Sprint("patient ", key)})
			all.Wait()
		}
	}
	if len(m.keys) != morning {
		m.Fatalf("%d messages", len(m.keys))
	}
}

// until ends a run by a signal when so many dead letters are left.
func (m *deadMorning) until(left uint64, signal os.Signal) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		m.eventually(fmt.Sprint(left, " dead letters are left"), func() bool { return m.queued("REDOX_DLQ") <= left })
		_ = cmd.Process.Signal(signal)
	}
}

// dlq runs the real binary until it ends, or what meanwhile does ends it.
func (m *deadMorning) dlq(meanwhile func(*exec.Cmd), args ...string) (code int, stdout, stderr string) {
	m.Helper()
	return m.run(meanwhile, append([]string{"dlq"}, args...)...)
}

// run is dlq of any subcommand.
func (m *deadMorning) run(meanwhile func(*exec.Cmd), args ...string) (code int, stdout, stderr string) {
	m.Helper()
	var out, errs output
	cmd := exec.Command(clitest.Build(m), append(args, "--config", m.config)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	if meanwhile != nil {
		meanwhile(cmd)
	}
	_ = cmd.Wait() // the exit code says it
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// delivered counts what Redox has taken, by key.
func (m *deadMorning) delivered() map[string]int {
	count := map[string]int{}
	for _, a := range m.messages() {
		if a.Accepted {
			count[a.Key]++
		}
	}
	return count
}

// A thousand dead letters of mixed reasons are replayed by a run that is interrupted, one
// that is killed, and two beside each other that finish it. Redox gets each once.
func TestDLQReplay_InterruptedKilledAndBesideAnother(t *testing.T) {
	t.Parallel()
	m := newDeadMorning(t)
	first := m.daemon()
	m.publish()
	m.drained(first.err.String)
	if n := m.queued("REDOX_DLQ"); n != morning || len(m.delivered()) != 0 {
		t.Fatalf("%d dead letters and %d delivered, want %d and none", n, len(m.delivered()), morning)
	}
	_, counts, _ := m.dlq(nil, "ls", "--counts")
	for _, settlement := range []string{"rejected", "exhausted", "expired", "held", "poison"} {
		if !strings.Contains(counts, settlement) {
			t.Errorf("none is %s:\n%s", settlement, counts)
		}
	}
	m.broken.Store(false)
	_ = first.Process.Signal(os.Interrupt)
	if err := first.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, first.err.String())
	}
	second := m.daemon("reply.allow=_INBOX.>,elsewhere.>")

	replay := []string{"replay", "--all", "--rate", "200", "--force"}
	code, out, errs := m.dlq(m.until(850, os.Interrupt), replay...)
	left := m.queued("REDOX_DLQ")
	if code != 1 || !strings.Contains(errs, "interrupted; ") || !strings.Contains(errs, "left: run the same command again to go on") || left == 0 {
		t.Errorf("interrupted: exit %d, %d left\n%s", code, left, errs)
	}
	if n := strings.Count(out, "\treplayed\t"); uint64(n) != morning-left {
		t.Errorf("interrupted: it says that %d were replayed, and %d are gone", n, morning-left)
	}
	if code, _, _ = m.dlq(m.until(600, os.Kill), replay...); code != -1 {
		t.Errorf("killed: exit %d", code)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if code, _, errs := m.dlq(nil, replay...); code != 0 {
				t.Errorf("side by side: exit %d\n%s", code, errs)
			}
		})
	}
	both.Wait()
	m.drained(second.err.String)

	if n := m.queued("REDOX_DLQ"); n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
	count := m.delivered()
	for _, key := range m.keys {
		if count[key] != 1 {
			t.Errorf("%s was delivered %d times", key, count[key])
		}
	}
	if len(count) != morning {
		t.Errorf("%d messages were delivered", len(count))
	}
	m.inOrder()
}

// inOrder checks the order of what Redox took, and that no two of an order key overlapped.
func (m *deadMorning) inOrder() {
	m.Helper()
	arrived := map[string][]string{}
	for _, a := range m.messages() {
		if i := strings.LastIndexByte(a.Key, '-'); a.Accepted && strings.HasPrefix(a.Key, "ordered-") {
			arrived[a.Key[:i]] = append(arrived[a.Key[:i]], a.Key)
		}
	}
	if len(arrived) != orderedKeys {
		m.Errorf("messages of %d order keys", len(arrived))
	}
	for key, list := range arrived {
		if !slices.IsSorted(list) || len(list) != perOrdered {
			m.Errorf("%s: %v", key, list)
		}
	}
	overlaps := redoxsim.Overlaps(m.messages(), func(a redoxsim.Arrival) string {
		if i := strings.LastIndexByte(a.Key, '-'); strings.HasPrefix(a.Key, "ordered-") {
			return a.Key[:i]
		}
		return ""
	})
	if len(overlaps) > 0 {
		m.Errorf("%d requests overlapped another of their order key", len(overlaps))
	}
}
