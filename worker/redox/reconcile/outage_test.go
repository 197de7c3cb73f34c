package reconcile

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What Redox cannot say about one log holds up no other, and ends as any that stays open.
func TestReconciler_OneOddLogIsNoOutage(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		defer stop()
		r.redox.set("odd", unreadable)
		r.redox.set("ok", platform.Succeeded)
		rec.Follow(delivered("odd", "ok"))
		bubble.Sleep(2 * time.Minute)
		if n := r.stored("REDOX_RECONCILE"); n != 1 {
			t.Errorf("%d logs left, want the odd one alone", n)
		}
		bubble.Sleep(26 * time.Hour)
		events, _ := r.events()
		if len(events) != 1 || events[0].Event != Unconfirmed || events[0].Log.ID != "odd" {
			t.Errorf("events %+v", events)
		}
		if n := len(r.redox.times("odd")); n < 10 || n > 50 {
			t.Errorf("%d lookups of the odd log in a day", n)
		}
	})
}

// An outage that outlasts the time a log is followed does not swallow its event.
func TestReconciler_GivesUpDuringAnOutage(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		defer stop()
		r.redox.fail(errors.New("redox: unavailable"))
		rec.Follow(delivered("one"))
		bubble.Sleep(25 * time.Hour)
		events, _ := r.events()
		if len(events) != 1 || events[0].Event != Unconfirmed || events[0].Log.ID != "one" || r.stored("REDOX_RECONCILE") != 0 {
			t.Errorf("events %+v", events)
		}
	})
}

// later is an error that asks for a wait.
type later struct{ error }

func (later) RetryAfter() time.Duration { return 3 * time.Minute }

func TestReconciler_PausesWhileRedoxCannotBeAsked(t *testing.T) {
	inBubble(t, func(r rig) {
		rec, stop := r.start(Config{})
		defer stop()
		r.redox.fail(errors.New("redox: unavailable"))
		for i := range 100 {
			id := fmt.Sprintf("log-%d", i)
			r.redox.set(id, platform.Succeeded)
			rec.Follow(delivered(id))
		}
		bubble.Sleep(time.Hour)
		if n := r.redox.count(); n < 10 || n > 25 { // 2 s doubling to 5 min
			t.Errorf("%d lookups in an hour of outage", n)
		}
		r.redox.fail(nil)
		bubble.Sleep(30 * time.Minute)
		if n := r.stored("REDOX_RECONCILE"); n != 0 {
			t.Errorf("%d logs left", n)
		}
		before := r.redox.count()
		r.redox.fail(later{errors.New("too many requests")})
		rec.Follow(delivered("one-more"))
		bubble.Sleep(4*time.Minute - time.Second)
		if n := r.redox.count() - before; n != 1 {
			t.Errorf("%d lookups, though Redox asked for three minutes", n)
		}
	})
}
