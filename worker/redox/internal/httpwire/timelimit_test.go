package httpwire

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// errLate is what a context ends with in these tests.
var errLate = errors.New("late")

// owned is a context of one attempt, as the worker has it.
type owned struct {
	context.Context
	cancel context.CancelCauseFunc
}

func (o *owned) Cancel(cause error) { o.cancel(cause) }

func TestTimeLimits_EachRequestHasTheWholeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewTimeLimits(time.Minute, errLate)
		start := time.Now()
		var limits [6]TimeLimit
		var contexts [6]context.Context
		for i := range limits {
			var ctx context.Context = t.Context()
			if i%2 == 1 {
				own, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				ctx = &owned{own, cancel}
			}
			if contexts[i] = l.Begin(ctx, time.Now(), &limits[i]); i%2 == 1 && contexts[i] != ctx {
				t.Errorf("request %d: a context beneath one that could be ended itself", i)
			}
			bubble.Sleep(10 * time.Second)
		}
		l.Finish(&limits[1])
		l.Finish(&limits[2])
		for _, i := range []int{0, 3, 4, 5} {
			<-contexts[i].Done()
			if at := time.Since(start); at != time.Duration(i)*10*time.Second+time.Minute || !errors.Is(context.Cause(contexts[i]), errLate) {
				t.Errorf("request %d ended after %v with %v", i, at, context.Cause(contexts[i]))
			}
			l.Finish(&limits[i])
		}
		if contexts[1].Err() != nil {
			t.Error("a context of the caller was ended after its request was over")
		}
		if !errors.Is(context.Cause(contexts[2]), context.Canceled) {
			t.Errorf("request 2 ended with %v", context.Cause(contexts[2]))
		}
		if l.armed || l.ring.next != &l.ring || l.ring.prev != &l.ring {
			t.Error("something is left")
		}
		// And again, after a while of nothing.
		bubble.Sleep(time.Hour)
		again, ctx := time.Now(), l.Begin(t.Context(), time.Now(), &limits[0])
		<-ctx.Done()
		if at := time.Since(again); at != time.Minute {
			t.Errorf("ended after %v", at)
		}
		l.Finish(&limits[0])
	})
}

func TestTimeLimits_None(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewTimeLimits(-1, errLate)
		var limit TimeLimit
		ctx := l.Begin(t.Context(), time.Now(), &limit)
		bubble.Sleep(24 * time.Hour)
		if ctx.Err() != nil || l.timer != nil {
			t.Errorf("%v", ctx.Err())
		}
		l.Finish(&limit)
		if ctx.Err() == nil {
			t.Error("the context outlives its request")
		}
	})
}
