package console

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// All who ask during a look share what comes of it, also that it failed and whoever of them goes away; what was
// done since it began is in the next one.
func TestLately_OneLookServesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l lately[int]
		var looks int
		var fails error
		look := func(ctx context.Context) (int, error) {
			looks++
			mine := looks
			bubble.Sleep(5 * time.Second)
			return mine, errors.Join(fails, ctx.Err())
		}
		crowd := func(want int, away bool) {
			began := time.Now()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if got, err := l.get(ctx, 3*time.Second, 10*time.Second, look); err == nil && got != want || (err != nil) != away {
						t.Errorf("%d, %v; want %d", got, err, want)
					}
				})
			}
			synctest.Wait()
			leave()
			all.Wait()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("100 wait %s", took)
			}
		}
		crowd(1, false)
		crowd(1, false)
		fails = errors.New("away")
		bubble.Sleep(3 * time.Second)
		crowd(2, true)
		fails = nil
		var before sync.WaitGroup
		before.Go(func() { _, _ = l.get(t.Context(), 3*time.Second, 10*time.Second, look) })
		synctest.Wait()
		l.forget()
		crowd(4, false)
		before.Wait()
		crowd(4, false)
	})
}
