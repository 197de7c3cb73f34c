package worker_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// loaded is a far side whose answers take as long as a load model says.
type loaded struct {
	mu       sync.Mutex
	load     redoxsim.Load
	random   *rand.Rand
	inFlight int
}

func (l *loaded) answer(context.Context, outbox.Message, int) (outbox.Answer, error) {
	l.mu.Lock()
	l.inFlight++
	n, load := l.inFlight, l.load
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
	time.Sleep(took)
	return outbox.Answer{Status: 200}, nil
}

// The profiles of the simulator, and what the limit makes of each of them with a backlog:
// ranges of the limit and of the median of the answers.
func TestAdaptive_Profiles(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		load        redoxsim.Load
		least, most int
		quick       time.Duration // the median is at most
		perSecond   int           // at least
	}{
		"rate-limited":        {redoxsim.Load{Base: 10 * ms, Slots: 1}, 4, 10, 100 * ms, 90},
		"concurrency-limited": {redoxsim.Load{Base: 50 * ms, Slots: 8}, 6, 18, 115 * ms, 130},
		"concurrency-refused": {redoxsim.Load{Base: 50 * ms, Reject: 16}, 6, 30, 60 * ms, 100},
		"slow-knee":           {redoxsim.Load{Base: 50 * ms, Knee: 16, Slope: 10 * ms}, 10, 24, 120 * ms, 180},
		"jittery":             {redoxsim.Load{Base: 50 * ms, Jitter: 0.8, Tail: 0.02}, 48, 64, 70 * ms, 700},
		"quick":               {redoxsim.Load{Base: 40 * ms}, 64, 64, 41 * ms, 900},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				far := &loaded{load: test.load, random: rand.New(rand.NewPCG(1, 2))}
				r.far.Answer = far.answer
				w, _ := r.launch(worker.Config{Sources: []worker.Source{{Name: source}}, Retry: worker.Retry{Initial: 100 * ms, Max: time.Second}})
				refill := func(n int) {
					for range n {
						r.publish(outbox.Message{})
					}
				}
				rate := test.perSecond * 5 / 4
				for range 30 { // until it has found its level
					refill(rate)
					time.Sleep(time.Second)
				}
				var limits []int
				from := len(r.far.Calls())
				for range 10 {
					refill(rate)
					time.Sleep(time.Second)
					limits = append(limits, w.Status().Concurrency)
				}
				var took []time.Duration
				for _, c := range r.far.Calls()[from:] {
					if c.Err == nil && !c.End.IsZero() {
						took = append(took, c.End.Sub(c.Start))
					}
				}
				slices.Sort(took)
				t.Logf("limit %v, median %v, %d/s", limits, took[len(took)/2], len(took)/10)
				slices.Sort(limits)
				if limits[1] < test.least || limits[len(limits)-2] > test.most {
					t.Errorf("limits %v, want %d to %d", limits, test.least, test.most)
				}
				if median := took[len(took)/2]; median > test.quick {
					t.Errorf("the median of the answers is %v, want at most %v", median, test.quick)
				}
				if n := len(took) / 10; n < test.perSecond {
					t.Errorf("%d messages a second, want at least %d", n, test.perSecond)
				}
			})
		})
	}
}

// When the far side is given more room, or gets quicker or slower, the limit follows.
func TestAdaptive_FollowsChange(t *testing.T) {
	inBubble(t, func(r *rig) {
		far := &loaded{load: redoxsim.Load{Base: 50 * time.Millisecond, Slots: 8}, random: rand.New(rand.NewPCG(1, 2))}
		r.far.Answer = far.answer
		w, _ := r.launch(worker.Config{Sources: []worker.Source{{Name: source}}})
		run := func(d, rate int) {
			for range d {
				for range rate {
					r.publish(outbox.Message{})
				}
				time.Sleep(time.Second)
			}
		}
		run(20, 200)
		if n := w.Status().Concurrency; n > 18 {
			t.Fatalf("limit %d at a far side of 8 slots", n)
		}
		far.mu.Lock()
		far.load = redoxsim.Load{Base: 50 * time.Millisecond}
		far.mu.Unlock()
		run(30, 900)
		if n := w.Status().Concurrency; n < 48 {
			t.Errorf("limit %d half a minute after the far side was given room", n)
		}
		far.mu.Lock()
		far.load = redoxsim.Load{Base: 200 * time.Millisecond} // slower, and no queue
		far.mu.Unlock()
		run(150, 320)
		if n := w.Status().Concurrency; n < 40 {
			t.Errorf("limit %d long after the far side became slower without a queue", n)
		}
	})
}
