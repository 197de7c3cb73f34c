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

// The bucket is lost just after some of the workers took much at once, or came: what the
// others go on with alone must not hold the same grants.
func TestGovernor_NeverExceedsTheLimitWhenABookIsLostJustAfterItsUse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		workers, late int
		class         class
	}{
		"a burst of REQUESTs":          {2, 0, classRequest},
		"a burst of SENDs":             {2, 0, classSend},
		"a worker came":                {1, 1, classSend},
		"a worker came, with REQUESTs": {1, 1, classRequest},
		"many came":                    {2, 6, classSend},
	} {
		for _, broken := range []error{errGone, nil} {
			for seed := range uint64(4) {
				t.Run(fmt.Sprintf("%s, gone %t, %d", name, broken != nil, seed), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						r := newFleetRig(t, Config{Requests: 100, Per: 10 * time.Second, Reserve: 0.2}, seed)
						for i := range c.workers {
							r.join(fmt.Sprint("w", i), 0)
						}
						bubble.Sleep(5 * r.cfg.Per) // idle: all is free
						bubble.Sleep(r.between(time.Millisecond, time.Second))
						var all sync.WaitGroup
						ctx, cancel := context.WithCancel(t.Context())
						burst := func(m *member, c class) {
							for range 60 {
								all.Go(func() {
									for {
										if _, sent := r.request(ctx, m, "a", c); !sent {
											return
										}
									}
								})
							}
						}
						for i := range c.late {
							r.join(fmt.Sprint("late", i), 0)
						}
						burst(r.all[len(r.all)-1], c.class)
						bubble.Sleep(r.between(time.Millisecond, time.Second))
						r.set(broken, broken == nil)
						for _, m := range r.all[:len(r.all)-1] {
							burst(m, c.class)
						}
						bubble.Sleep(3 * r.cfg.Per)
						cancel()
						all.Wait()
						r.end()
					})
				})
			}
		}
	}
}

// A worker that was cut off for longer than its allotment, and finds no bucket then, does not use
// at once what the others have used meanwhile.
func TestGovernor_NeverExceedsTheLimitWhenABookIsLostToAWorkerThatWasCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newFleetRig(t, Config{Requests: 100, Per: 10 * time.Second}, 1)
		a := r.join("a", 0)
		r.join("b", 0)
		bubble.Sleep(2 * r.cfg.Per) // all is free
		r.mu.Lock()
		r.cut["a"] = true
		r.mu.Unlock()
		bubble.Sleep(8 * time.Second)
		for range 100 {
			if _, sent := r.request(t.Context(), r.all[1], "x", classRequest); !sent {
				t.Fatal("not sent")
			}
		}
		r.mu.Lock()
		r.cut["a"] = false
		r.mu.Unlock()
		r.set(errGone, false)
		for range 60 {
			if _, sent := r.request(t.Context(), a, "x", classRequest); !sent {
				t.Fatal("not sent")
			}
		}
		if s := a.Status(); s.Share != 50 {
			t.Errorf("a goes on with a share of %d", s.Share)
		}
		r.end()
	})
}
