package quota

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// rush has members send so many messages of so many sources, 64 at a time by all together,
// while REQUESTs and a neighbour's SENDs come one by one. It answers how long the messages
// took, and how long the others did, answer included.
func (r *fleetRig) rush(members []*member, messages, sources int) (took time.Duration, requests, neighbours []time.Duration) {
	var sending, others sync.WaitGroup
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(r.Context())
	began, next := time.Now(), 0
	for i := range 64 {
		sending.Go(func() {
			for {
				mu.Lock()
				next++
				n := next
				mu.Unlock()
				if n > messages {
					return
				}
				if _, sent := r.request(ctx, members[i%len(members)], fmt.Sprint("s", n%sources), classSend); !sent {
					r.Error("not sent")
				}
			}
		})
	}
	for i, list := range []*[]time.Duration{&requests, &neighbours} {
		others.Go(func() {
			for ctx.Err() == nil {
				asked := time.Now()
				r.request(r.Context(), r.all[len(r.all)-1], "neighbour", []class{classRequest, classSend}[i])
				*list = append(*list, time.Since(asked))
				bubble.Sleep(10 * time.Millisecond)
			}
		})
	}
	sending.Wait()
	took = time.Since(began)
	cancel()
	others.Wait()
	return took, requests, neighbours
}

// After a rest messages go out as fast as they are answered, from one worker or from all, of
// one source or of many; REQUESTs and a neighbour wait no longer than in an idle fleet, and no
// window holds more than the limit (the rig sees to that).
func TestGovernor_BurstAfterARest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ workers, sending, messages, sources int }{
		{1, 1, 2000, 1}, {3, 1, 2000, 1}, {8, 8, 2000, 33}, {8, 1, 2000, 300}, {1, 1, 5000, 1},
	} {
		t.Run(fmt.Sprintf("%d of %d sources by %d of %d workers", c.messages, c.sources, c.sending, c.workers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newFleetRig(t, Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, 1)
				r.latency = func() time.Duration { return 20 * time.Millisecond }
				for i := range c.workers {
					r.join(fmt.Sprint("w", i), 0)
				}
				bubble.Sleep(10 * time.Minute)
				_, idle, _ := r.rush(r.all[:1], 64, 1)
				bubble.Sleep(10 * time.Minute)
				took, requests, neighbours := r.rush(r.all[:c.sending], c.messages, c.sources)
				least := time.Duration((c.messages+63)/64) * 20 * time.Millisecond
				t.Logf("took %v, without a quota %v; p99 of REQUESTs %v, idle %v; of a neighbour's SENDs %v", took, least,
					percentile(requests, 0.99), percentile(idle, 0.99), percentile(neighbours, 0.99))
				if took > least*3/2 {
					t.Errorf("it took %v, without a quota %v", took, least)
				}
				if p99 := percentile(requests, 0.99); p99 >= 2*percentile(idle, 0.99) {
					t.Errorf("p99 of REQUESTs %v", p99)
				}
				if p99 := percentile(neighbours, 0.99); p99 >= 2*percentile(idle, 0.99) {
					t.Errorf("p99 of a neighbour's SENDs %v", p99)
				}
				bubble.Sleep(3 * time.Second)
				if pace := r.all[0].Status().Fleet.Pace; pace != 0 {
					t.Errorf("paced at %v although all was sent at once", pace)
				}
				r.end()
			})
		})
	}
}

// A worker that has just had a turn which it turned out not to need has the next one at once when
// it needs it.
func TestGovernor_ATurnInVainHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFleetRig(t, Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, 1)
		for i := range 2 {
			r.join(fmt.Sprint("w", i), 0)
		}
		bubble.Sleep(10*time.Minute + 100*time.Millisecond)
		m := r.all[0]
		m.mu.Lock()
		m.soon()
		m.mu.Unlock()
		bubble.Sleep(50 * time.Millisecond)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if waited, sent := r.request(t.Context(), m, "s", classRequest); waited > 200*time.Millisecond || !sent {
					t.Errorf("sent %v after %v", sent, waited)
				}
			})
		}
		all.Wait()
		r.end()
	})
}

// A backlog of more than the limit is sent at once as far as the reserve of REQUESTs allows,
// then at its pace; a window later at that of the limit. All the while REQUESTs at their share
// of the rate, and a neighbour's few SENDs, hardly wait, and all of the limit is used.
func TestGovernor_BacklogAfterARest(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newFleetRig(t, Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2}, 2)
				r.latency = func() time.Duration { return 20 * time.Millisecond }
				for i := range workers {
					r.join(fmt.Sprint("w", i), 0)
				}
				bubble.Sleep(10 * time.Minute)
				ctx, cancel := context.WithCancel(t.Context())
				var all sync.WaitGroup
				from := time.Now()
				for _, m := range r.all {
					for range 64 {
						all.Go(func() {
							for sent := true; sent; {
								_, sent = r.request(ctx, m, "flood", classSend)
							}
						})
					}
				}
				var waits [2][]time.Duration
				for i, every := range []time.Duration{220 * time.Millisecond, time.Second} {
					all.Go(func() {
						for ctx.Err() == nil {
							if waited, sent := r.request(ctx, r.all[0], "neighbour", []class{classRequest, classSend}[i]); sent {
								waits[i] = append(waits[i], waited)
							}
							bubble.Sleep(every)
						}
					})
				}
				bubble.Sleep(20 * time.Second)
				if n := r.far.count(); n < 5000 {
					t.Errorf("%d of 7500 were sent in 20s", n)
				}
				if pace := r.all[0].Status().Fleet.Pace; pace <= 0 || pace > 10 {
					t.Errorf("paced at %v in the rest of the window", pace)
				}
				bubble.Sleep(6 * time.Minute)
				if pace := r.all[0].Status().Fleet.Pace; pace < 15 || pace > 26 {
					t.Errorf("paced at %v in the next window", pace)
				}
				bubble.Sleep(24 * time.Minute)
				used := r.far.used(from, time.Now())
				cancel()
				all.Wait()
				p99 := [2]time.Duration{percentile(waits[0], 0.99), percentile(waits[1], 0.99)}
				t.Logf("used %.1f %%; waits: REQUESTs p99 %v, most %v; a neighbour's SENDs %v, %v", used*100, p99[0], slices.Max(waits[0]), p99[1], slices.Max(waits[1]))
				if used < 0.97 {
					t.Errorf("used %.1f %%", used*100)
				}
				for i, most := range []time.Duration{40 * time.Millisecond, 200 * time.Millisecond} {
					if p99[i] > most {
						t.Errorf("p99 of the wait of %s is %v", []string{"REQUESTs", "a neighbour"}[i], p99[i])
					}
				}
				r.end()
			})
		})
	}
}
