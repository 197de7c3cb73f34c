package quota

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Half an hour of Redox's own limit with a backlog throughout.
func TestGovernor_UsesTheLimitFully(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 3, 8} {
		for _, limit := range []Config{{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, {Requests: 50, Per: 5 * time.Second, Reserve: 0.2}} {
			t.Run(fmt.Sprintf("%d in %v by %d", limit.Requests, limit.Per, workers), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newFleetRig(t, limit, uint64(workers))
					for i := range workers {
						r.join(fmt.Sprint("w", i), 16)
					}
					bubble.Sleep(limit.Per)
					from := time.Now()
					length := 6 * limit.Per
					bubble.Sleep(length)
					used := r.far.used(from, time.Now())
					rate := float64(r.saves.Load()) / length.Seconds() / float64(workers)
					t.Logf("used %.2f %% of the limit, %.2f book updates per worker and second", used*100, rate)
					if used < 0.97 {
						t.Errorf("used %.2f %% of the limit", used*100)
					}
					if most := 1.3 * float64(time.Second) / float64(newLimits(limit.Requests, limit.Per, 0).turn); rate > most {
						t.Errorf("%.2f updates of the book per worker and second, want at most %.2f", rate, most)
					}
					r.end()
				})
			})
		}
	}
}

// Workers come and go, are killed and cut off; writes are lost or only seem to be.
func TestGovernor_NeverExceedsTheLimit(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newFleetRig(t, Config{Requests: 50, Per: 5 * time.Second, Reserve: 0.2}, seed)
				r.flaky, r.slow = 0.05, 30*time.Millisecond
				r.latency = func() time.Duration { return r.between(5*time.Millisecond, 1500*time.Millisecond) }
				alive := []*member{r.join("w0", 16)}
				for i := 1; i < 80; i++ {
					bubble.Sleep(r.between(100*time.Millisecond, 4*time.Second))
					k := int(r.between(0, time.Duration(len(alive))))
					switch int(r.between(0, 6)) {
					case 0, 1:
						if len(alive) < 8 {
							alive = append(alive, r.join(fmt.Sprint("w", i), 16))
						}
					case 2:
						if len(alive) > 1 {
							alive[k].stop()
							alive = append(alive[:k], alive[k+1:]...)
						}
					case 3:
						if len(alive) > 1 {
							alive[k].kill()
							alive = append(alive[:k], alive[k+1:]...)
						}
					default:
						r.mu.Lock()
						r.cut[alive[k].name] = !r.cut[alive[k].name]
						r.mu.Unlock()
					}
				}
				if n := r.far.count(); n < 300 {
					t.Errorf("only %d requests: nothing was put to the test", n)
				}
				r.end()
			})
		})
	}
}

func TestGovernor_JoiningAndLeavingCostsLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFleetRig(t, Config{Requests: 50, Per: 5 * time.Second, Reserve: 0.2}, 7)
		first := r.join("first", 16)
		bubble.Sleep(5 * time.Second)
		from := time.Now()
		var joined []*member
		for i := range 7 {
			bubble.Sleep(3 * time.Second)
			joined = append(joined, r.join(fmt.Sprint("w", i), 16))
		}
		bubble.Sleep(10 * time.Second)
		first.stop()
		for _, m := range joined[:5] {
			bubble.Sleep(3 * time.Second)
			m.stop()
		}
		bubble.Sleep(10 * time.Second)
		used := r.far.used(from, time.Now())
		t.Logf("used %.2f %%", used*100)
		if used < 0.97 {
			t.Errorf("used %.2f %% of the limit while workers came and went", used*100)
		}
		r.end()
	})
}

// What was allotted to a dead worker is lost for one window, not more.
func TestGovernor_DeathCostsOneWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFleetRig(t, Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, 3)
		dying := r.join("dying", 16)
		r.join("other", 16)
		bubble.Sleep(10 * time.Minute)
		dying.kill()
		from := time.Now()
		bubble.Sleep(5 * time.Minute)
		if used := r.far.used(from, time.Now()); used < 0.95 {
			t.Errorf("used %.2f %% in the window after a death", used*100)
		}
		bubble.Sleep(time.Minute)
		from = time.Now()
		bubble.Sleep(10 * time.Minute)
		if used := r.far.used(from, time.Now()); used < 0.97 {
			t.Errorf("used %.2f %% later", used*100)
		}
		r.end()
	})
}

// A lower limit holds at once for what was used under the higher, whether the workers with
// that are still there or not; and so does a longer window.
func TestGovernor_StricterLimitHoldsAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wide, narrow Config
		stays        bool
	}{
		"lower":                     {Config{Requests: 100, Per: time.Minute}, Config{Requests: 50, Per: time.Minute}, false},
		"lower, the old one stays":  {Config{Requests: 100, Per: time.Minute}, Config{Requests: 50, Per: time.Minute}, true},
		"longer":                    {Config{Requests: 50, Per: 20 * time.Second}, Config{Requests: 50, Per: time.Minute}, false},
		"longer, the old one stays": {Config{Requests: 50, Per: 20 * time.Second}, Config{Requests: 50, Per: time.Minute}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newFleetRig(t, c.wide, 1)
				r.far.limit, r.far.per = c.narrow.Requests, c.narrow.Per
				wide := r.join("wide", 0)
				for range 48 {
					if _, sent := r.request(t.Context(), wide, "a", classSend); !sent {
						t.Fatal("not sent")
					}
				}
				r.cfg.Requests, r.cfg.Per = c.narrow.Requests, c.narrow.Per
				if !c.stays {
					wide.stop()
				}
				r.join("narrow", 16)
				bubble.Sleep(10 * time.Minute)
				r.end()
			})
		})
	}
}

// Grants that are allotted and not used when the window becomes longer are free so much
// later: what they were used for before was under the shorter one.
func TestGovernor_LongerWindowHoldsForLeasedSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &memoryStore{}
		turn := func(g *Governor) {
			t.Helper()
			if _, err := g.takeTurn(t.Context(), s, true); err != nil {
				t.Fatal(err)
			}
		}
		short, err := New(Config{Requests: 50, Per: 20 * time.Second, ID: "short"})
		if err != nil {
			t.Fatal(err)
		}
		long, err := New(Config{Requests: 50, Per: time.Minute, ID: "long"})
		if err != nil {
			t.Fatal(err)
		}
		short.waiters.push(&waiter{class: classSend, source: "a", ready: make(chan struct{})})
		turn(short)
		if short.held.total() == 0 {
			t.Fatal("nothing is allotted and unused")
		}
		turn(long)
		bubble.Sleep(time.Second)
		turn(short)
		if n := short.Status().Fleet.Left; n != 0 {
			t.Errorf("%d grants are free at once that may have been used 20s ago", n)
		}
	})
}

// A fleet that stops and starts again remembers what it has used; after a long stop
// nothing is left of that.
func TestGovernor_Restart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFleetRig(t, Config{Requests: 100, Per: 10 * time.Second}, 5)
		for _, rest := range []time.Duration{0, time.Second, time.Hour} {
			m := r.join(fmt.Sprint("after ", rest), 16)
			bubble.Sleep(25 * time.Second)
			m.stop()
			bubble.Sleep(rest)
		}
		m := r.join("last", 0)
		if waited, _ := r.request(context.Background(), m, "a", classSend); waited > 50*time.Millisecond {
			t.Errorf("after an hour's rest the first request waited %v", waited)
		}
		r.end()
	})
}

// While NATS is away the allotment is used up; the limit holds, and afterwards all goes on.
func TestGovernor_LossOfNATS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFleetRig(t, Config{Requests: 50, Per: 5 * time.Second}, 5)
		for i := range 3 {
			r.join(fmt.Sprint("w", i), 8)
		}
		bubble.Sleep(12 * time.Second)
		cut := func(yes bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, m := range r.all {
				r.cut[m.name] = yes
			}
		}
		before := r.far.count()
		cut(true)
		bubble.Sleep(10 * time.Second)
		if n := r.far.count() - before; n == 0 || n > 30 {
			t.Errorf("%d requests while NATS was away, want what was allotted", n)
		}
		cut(false)
		bubble.Sleep(12 * time.Second) // what was allotted comes back after one window
		from := time.Now()
		bubble.Sleep(30 * time.Second)
		if used := r.far.used(from, time.Now()); used < 0.97 {
			t.Errorf("used %.2f %% afterwards", used*100)
		}
		r.end()
	})
}

// 500 SENDs are queued, then 20 REQUESTs arrive.
func TestGovernor_RequestsOvertake(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg     Config
		workers int
		apart   time.Duration
	}{
		"apart":          {Config{Requests: 50, Per: 5 * time.Second, Reserve: 0.2}, 1, 300 * time.Millisecond},
		"at once":        {Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, 1, 0},
		"at once, fleet": {Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newFleetRig(t, test.cfg, 11)
				for i := range test.workers {
					r.join(fmt.Sprint("w", i), 500/test.workers)
				}
				bubble.Sleep(test.cfg.Per + test.cfg.Per/7)
				var mu sync.Mutex
				var waits []time.Duration
				var queries sync.WaitGroup
				for i := range 20 {
					queries.Go(func() {
						waited, _ := r.request(context.Background(), r.all[i%len(r.all)], "a", classRequest)
						mu.Lock()
						defer mu.Unlock()
						waits = append(waits, waited)
					})
					bubble.Sleep(test.apart)
				}
				queries.Wait()
				interval := test.cfg.Per / time.Duration(test.cfg.Requests)
				t.Logf("p50 %v p99 %v, interval %v", percentile(waits, 0.5), percentile(waits, 0.99), interval)
				if p99 := percentile(waits, 0.99); p99 >= 2*interval {
					t.Errorf("p99 of the wait %v, want under two intervals of %v", p99, interval)
				}
				r.end()
			})
		})
	}
}
