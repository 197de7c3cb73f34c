package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

const smallQuota = "quota: {requests: 50, per: 5s}\nworker: {concurrency: 8, drain_timeout: 5s}"

// backlog stores so many messages.
func (s *stage) backlog(n int) {
	s.Helper()
	p := s.publisher()
	for i := range n {
		m := outbox.Message{Source: "clinic-a", Body: admit(fmt.Sprint("m", i))}
		if i%3 == 0 {
			m.OrderKey = fmt.Sprint("patient ", i)
		}
		if _, err := p.Publish(s.Context(), m); err != nil {
			s.Fatal(err)
		}
	}
}

// kept checks the simulator's record: no window over the quota, no 429.
func (s *stage) kept() {
	s.Helper()
	for _, w := range s.sim.Windows(5 * time.Second) {
		if w.Requests > 50 || w.Limited > 0 {
			s.Errorf("the fullest window holds %d requests, and %d were answered 429", w.Requests, w.Limited)
		}
	}
}

// used is the share of the quota that arrived within a span.
func (s *stage) used(from, to time.Time) float64 {
	n := 0
	for _, a := range s.sim.Arrivals() {
		if !a.Start.Before(from) && a.Start.Before(to) {
			n++
		}
	}
	return float64(n) / (to.Sub(from).Seconds() * 10)
}

// join starts one more worker process.
func (s *stage) join(path string) *binary {
	s.Helper()
	p := &binary{Cmd: exec.Command(path, "run", "--config", s.config, "--set", "admin.listen=off")}
	p.Stdout, p.Stderr = &p.out, &p.err
	if err := p.Start(); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = p.Process.Kill() })
	s.eventually("worker started", func() bool { return strings.Contains(p.err.String(), "worker started") }, p.err.String)
	return p
}

// Workers as processes join and leave, one is killed: the window never holds more than the
// quota, nothing is answered 429, and with a backlog most of it is used. How much exactly is
// shown in fake time, where processes do not wait for a core.
func TestQuota_ProcessesJoinAndLeave(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{Quota: redoxsim.Quota{Limit: 50, Per: 5 * time.Second}}, smallQuota)
	path := clitest.Build(t)
	wait := func(d time.Duration) { <-time.After(d) }
	fleet := []*binary{s.join(path)}
	s.backlog(2000)
	wait(5 * time.Second)
	from := time.Now()
	for _, more := range []int{2, 5} {
		wait(5 * time.Second)
		for range more {
			fleet = append(fleet, s.join(path))
		}
	}
	wait(5 * time.Second)
	for _, p := range fleet[:5] {
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("a worker that was asked to stop: %v", err)
		}
	}
	wait(5 * time.Second)
	to := time.Now()
	if usage, _, err := quota.Read(t.Context(), s.js, "", "default"); err != nil || usage.Pace < 5 || usage.Pace > 11 {
		t.Errorf("SENDs are paced at %v/s by the book, %v; want about 10", usage.Pace, err)
	}
	used := s.used(from, to)
	t.Logf("used %.1f %% of the quota", used*100)
	if used < 0.9 {
		t.Errorf("used %.1f %% of the quota", used*100)
	}
	if err := fleet[5].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(6 * time.Second)
	if n := s.queued("REDOX_OUT"); n == 0 {
		t.Error("the backlog came to an end: nothing was measured")
	}
	s.kept()
}

// NATS is away for ten seconds: the quota is kept all the while, and afterwards the
// backlog drains on.
func TestQuota_NATSAway(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{Quota: redoxsim.Quota{Limit: 50, Per: 5 * time.Second}}, smallQuota)
	s.run()
	s.backlog(400)
	<-time.After(4 * time.Second)
	address, err := url.Parse(s.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.nats.Shutdown(); err != nil {
		t.Fatal(err)
	}
	<-time.After(10 * time.Second)
	var again *natsdev.Server
	s.eventually("NATS is back on its port", func() bool {
		again, err = natsdev.Start(natsdev.Options{Dir: s.nats.Dir(), Port: port})
		return err == nil
	})
	t.Cleanup(func() { _ = again.Shutdown() })
	before := len(s.messages())
	s.eventually("the backlog drains on", func() bool { return len(s.messages()) > before+50 })
	s.kept()
}

// The token calls, the repeats after a 401 and the messages together stay within the
// quota, here that of one process.
func TestQuota_CountsTokensAndRepeats(t *testing.T) {
	t.Parallel()
	sim := &redoxsim.Server{Quota: redoxsim.Quota{Limit: 50, Per: 5 * time.Second}}
	var refused sync.Map
	sim.Fault = func(r redoxsim.Request) *redoxsim.Fault {
		if _, again := refused.LoadOrStore(r.Key, true); again || !strings.HasSuffix(r.Key, "50") {
			return nil
		}
		return &redoxsim.Fault{Status: http.StatusUnauthorized}
	}
	s := newStage(t, sim, strings.Replace(smallQuota, "5s", "5s, scope: process", 1))
	s.run()
	s.backlog(90) // m50 is refused once
	s.eventually("delivered", func() bool { return s.queued("REDOX_OUT") == 0 })
	s.kept()
	if n := len(s.sim.Arrivals()); n < 90+1+1 {
		t.Errorf("%d requests, want the repeat and the tokens among them", n)
	}
}
