package worker_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// mortal is a far side behind which workers die: what is in flight then comes to no end.
type mortal struct {
	latency time.Duration
	killers func(id string) bool

	mu   sync.Mutex
	life chan struct{} // of the worker; closed when it dies
}

func (m *mortal) deliver(_ context.Context, msg outbox.Message, _ int) (outbox.Answer, error) {
	m.mu.Lock()
	life := m.life
	m.mu.Unlock()
	if m.killers != nil && m.killers(msg.ID) {
		bubble.Sleep(m.latency / 2)
		m.kill(life)
	}
	select {
	case <-life:
		runtime.Goexit()
	case <-time.After(m.latency):
	}
	return outbox.Answer{Status: 200}, nil
}

func (m *mortal) kill(life chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == life {
		close(life)
		m.life = make(chan struct{})
	}
}

// live runs a worker until it dies or done says that it may end, for at most so long: then
// it is killed.
func (r *rig) live(m *mortal, c worker.Config, atMost time.Duration, done func() bool) {
	r.Helper()
	life := make(chan struct{})
	m.mu.Lock()
	m.life = life
	m.mu.Unlock()
	stop := r.start(c)
	for began := time.Now(); !done(); bubble.Sleep(50 * time.Millisecond) {
		if time.Since(began) >= atMost {
			m.kill(life)
		}
		select {
		case <-life:
			stop()
			return
		default:
		}
	}
	stop()
}

func (r *rig) count(s outbox.Settlement) (n int) {
	for _, e := range r.all(worker.EventSettled) {
		if e.Settlement == s {
			n++
		}
	}
	return n
}

const never = 100 * 24 * time.Hour

// Workers that are killed from outside, again and again, make no poison of what they had in
// flight, and all of it is delivered as soon as one lives.
func TestSuspects_KilledWorkersPoisonNothing(t *testing.T) {
	for _, n := range []int{1, 3, 20, 300} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				m := &mortal{latency: 3 * time.Second}
				r.far.Answer = m.deliver
				config := worker.Config{AckWait: 2 * time.Second, Concurrency: 400, Sources: unpaused}
				for i := range n {
					r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
				}
				for range 12 {
					r.live(m, config, 1200*time.Millisecond, func() bool { return false })
					bubble.Sleep(2500 * time.Millisecond)
				}
				start := time.Now()
				all := func() bool { return len(r.all(worker.EventSettled)) == n }
				r.live(m, config, never, func() bool { return all() || time.Since(start) > time.Hour })
				if got := r.count(outbox.Delivered); got != n || len(r.deadLetters()) != 0 {
					t.Errorf("%d of %d delivered, %d dead letters", got, n, len(r.deadLetters()))
				}
				if took := time.Since(start); took > 10*time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// What was in flight when a worker was killed once goes out at once.
func TestSuspects_OneDeathDelaysNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		const n = 1000
		m := &mortal{latency: time.Second}
		r.far.Answer = m.deliver
		config := worker.Config{Concurrency: 1000, Sources: unpaused}
		for i := range n {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		r.live(m, config, 900*time.Millisecond, func() bool { return false })
		start := time.Now()
		r.live(m, config, never, func() bool { return len(r.all(worker.EventSettled)) == n })
		if took := time.Since(start); took > 45*time.Second || r.count(outbox.Delivered) != n {
			t.Errorf("%d of %d delivered after %v, want all a moment after the ack wait", r.count(outbox.Delivered), n, took)
		}
	})
}

// Messages that kill their workers become poison, with the attempts that were made; those
// beside them are delivered, and another source hardly feels it.
func TestSuspects_KillersBecomePoisonAndNobodyElse(t *testing.T) {
	for _, killers := range []int{1, 3} {
		t.Run(fmt.Sprint(killers), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				m := &mortal{latency: 200 * time.Millisecond, killers: func(id string) bool { return strings.HasPrefix(id, "killer") }}
				r.far.Answer = m.deliver
				config := worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}}
				const n = 60
				for i := range n {
					r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
				}
				for i := range killers {
					r.publish(outbox.Message{ID: fmt.Sprint("killer", i)})
				}
				lives, more := 0, 0
				for ; r.count(outbox.Poison) < killers && lives < 60; lives++ {
					more++
					other := r.publish(outbox.Message{ID: fmt.Sprint("other", more), Source: "clinic-b"})
					r.live(m, config, 10*time.Minute, func() bool { return r.count(outbox.Poison) == killers })
					_ = other
				}
				r.live(m, config, never, func() bool { return len(r.all(worker.EventSettled)) == n+killers+more })
				letters := r.deadLetters()
				if len(letters) != killers || r.count(outbox.Delivered) != n+more {
					t.Errorf("%d dead letters, %d of %d delivered", len(letters), r.count(outbox.Delivered), n+more)
				}
				for _, d := range letters {
					sent := len(r.far.Of(d.MessageID))
					if !strings.HasPrefix(d.MessageID, "killer") || d.Settlement != outbox.Poison || d.Attempts != sent || sent < 5 ||
						!strings.Contains(d.Error, fmt.Sprintf("sent %d times", sent)) {
						t.Errorf("%s: %s after %d attempts of %d: %s", d.MessageID, d.Settlement, d.Attempts, sent, d.Error)
					}
				}
			})
		})
	}
}

// A worker that is cut off from NATS for longer than the ack wait is no worker that died.
func TestSuspects_OutagesOfNATSAreNoDeaths(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
		c := &cable{crashing: &crashing{T: t}}
		c.start(t.TempDir())
		defer c.stop()
		const outages = 8
		far := &workertest.Far{Answer: func(ctx context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n <= outages {
				<-ctx.Done()
				return outbox.Answer{}, worker.UnknownOutcome(ctx.Err())
			}
			return outbox.Answer{Status: 200}, nil
		}}
		one, two := &rig{T: t, js: c.connectBy(c), far: far}, &rig{T: t, js: c.connect(), far: far}
		defer two.js.Conn().Close()
		defer one.js.Conn().Close()
		if _, err := (topology.Topology{}).Ensure(t.Context(), two.js); err != nil {
			t.Fatal(err)
		}
		one.start(worker.Config{Sources: unpaused, Retry: worker.Retry{PoisonAfter: 1}})
		defer one.stop()
		ids := []string{two.publish(outbox.Message{}), two.publish(outbox.Message{})}
		for outage := range outages {
			one.until("both are sent", func() bool { return len(far.Of(ids[0])) > outage && len(far.Of(ids[1])) > outage })
			bubble.Sleep(2 * time.Second)
			c.plug(false)
			bubble.Sleep(45 * time.Second)
			c.plug(true)
		}
		for _, id := range ids {
			if e := one.awaitSettled(id); e.Settlement != outbox.Delivered || !e.PossibleDuplicate {
				t.Errorf("%s after %d outages: %s", e.Settlement, len(far.Of(id))-1, e.Error)
			}
		}
	})
}
