package worker_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// loaded is a far side whose answers take as long as a load model says.
type loaded struct {
	mu       sync.Mutex
	load     redoxsim.Load
	random   *rand.Rand
	inFlight int
	peak     int
}

// peakSince is how many were in flight at most since it was asked last.
func (l *loaded) peakSince() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	peak := l.peak
	l.peak = l.inFlight
	return peak
}

func (l *loaded) answer(context.Context, outbox.Message, int) (outbox.Answer, error) {
	l.mu.Lock()
	l.inFlight++
	n, load := l.inFlight, l.load
	l.peak = max(l.peak, n)
	took := load.Delay(n, l.random.Float64())
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.inFlight--
	}()
	if load.Reject > 0 && n > load.Reject {
		return outbox.Answer{Status: 503}, errFar
	}
	bubble.Sleep(took)
	return outbox.Answer{Status: 200}, nil
}

// When the far side is given more room, or gets quicker or slower, the limit follows.
func TestAdaptive_FollowsChange(t *testing.T) {
	inBubble(t, func(r *rig) {
		far := &loaded{load: redoxsim.Load{Base: 50 * time.Millisecond, Slots: 8}, random: rand.New(rand.NewPCG(1, 2))}
		r.far.Answer = far.answer
		r.start(worker.Config{Sources: []worker.Source{{Name: source}}})
		run := func(d, rate int) {
			for range d {
				for range rate {
					r.publish(outbox.Message{})
				}
				bubble.Sleep(time.Second)
			}
		}
		peak := func(rate int) int { // in a second
			far.peakSince()
			run(1, rate)
			return far.peakSince()
		}
		run(20, 200)
		if n := peak(200); n > 18 {
			t.Fatalf("limit %d at a far side of 8 slots", n)
		}
		far.mu.Lock()
		far.load = redoxsim.Load{Base: 50 * time.Millisecond}
		far.mu.Unlock()
		run(30, 900)
		if n := peak(900); n < 48 {
			t.Errorf("limit %d half a minute after the far side was given room", n)
		}
		far.mu.Lock()
		far.load = redoxsim.Load{Base: 200 * time.Millisecond} // slower, and no queue
		far.mu.Unlock()
		run(90, 320)
		if n := peak(320); n < 40 {
			t.Errorf("limit %d long after the far side became slower without a queue", n)
		}
	})
}
