package dlq

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// turning is a graveyard with a sealed dead letter, whose body is in an object where its id begins with claim,
// and whose key seals no more.
func turning(t *testing.T, id string) graveyard {
	t.Helper()
	g := newGraveyard(t)
	ks, _ := seal.Keys{}.With(time.Now(), time.Now().Add(-2*time.Hour))
	g.burySealed(seal.NewRing(ks), id)
	ks, _ = ks.With(time.Now(), time.Now().Add(-time.Hour))
	g.config.Ring = seal.NewRing(ks)
	return g
}

// during runs f once, at a point of what is done meanwhile.
func (g graveyard) during(point string, f func()) {
	done := false
	g.fault = func(at string) error {
		if at == point && !done {
			done = true
			f()
		}
		return nil
	}
}

// A discard while a dead letter is rewrapped leaves it to the rewrap, whole; a rewrap while it is discarded leaves
// nothing of it.
func TestSealed_DiscardWhileRewrapped(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"m-1", "claim-1"} {
		for _, point := range []string{"rewrapping", "rewritten"} {
			g := turning(t, id)
			l, s, got := g.listed(id), g.selected(Query{}), ""
			g.during(point, func() { got = g.outcomes(g.Discard(g.Ctx(), s, DiscardOptions{})) })
			if done, err := g.Rewrap(g.Ctx(), l); err != nil || !done || got != id+" busy" {
				t.Errorf("%s, discarded when it is %s: %q, then %t, %v", id, point, got, done, err)
			}
			g.left(1)
			if body, err := g.Body(g.Ctx(), g.listed(id)); err != nil || len(body) == 0 {
				t.Errorf("%s, discarded when it is %s: its body: %v", id, point, err)
			}
			if got := g.discardAll(DiscardOptions{}); got != id+" discarded" || len(g.locks()) > 0 {
				t.Errorf("afterwards: %q, locks %q", got, g.locks())
			}
			g.left(0)
		}
		g := turning(t, id)
		l, rewrapped := g.listed(id), error(nil)
		g.during("dropped", func() { _, rewrapped = g.Rewrap(g.Ctx(), l) })
		if got := g.discardAll(DiscardOptions{}); got != id+" discarded" || !errors.Is(rewrapped, ErrNotFound) {
			t.Errorf("%s, rewrapped while it is discarded: %q, %v", id, got, rewrapped)
		}
		if done, err := g.Rewrap(g.Ctx(), l); done || !errors.Is(err, ErrNotFound) {
			t.Errorf("%s, rewrapped when it is gone: %t, %v", id, done, err)
		}
		if g.left(0); len(g.locks()) > 0 {
			t.Errorf("locks %q", g.locks())
		}
	}
}

// A discard that comes after a rewrap was cut off takes both dead letters, and the body that they share; a rewrap that comes
// after a discard was cut off leaves a dead letter with its body, or none.
func TestSealed_DiscardAfterARewrapWasCutOff(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"m-1", "claim-1"} {
		g := turning(t, id)
		g.crashing("rewritten", 1)
		if _, err := g.Rewrap(g.Ctx(), g.listed(id)); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		if n := g.Rig.Stream("REDOX_DLQ").State.Msgs; n != 2 {
			t.Errorf("%d dead letters", n)
		}
		g.fault = nil
		g.busy = -time.Minute // the clocks of a lock and of its reader differ
		first := g.selected(Query{Through: 1})
		if got := g.outcomes(g.Discard(g.Ctx(), first, DiscardOptions{})); got != id+" discarded" {
			t.Errorf("%s: %q", id, got)
		}
		g.left(0)
		if _, err := g.bodies.Get(g.Ctx(), "clinic-a/"+id, -1); !errors.Is(err, outbox.ErrBodyMissing) {
			t.Errorf("%s has left its body: %v", id, err)
		}

		g = turning(t, id)
		g.crashing("dropped", 1)
		l := g.listed(id)
		for _, err := range g.Discard(g.Ctx(), g.selected(Query{}), DiscardOptions{}) {
			if !errors.Is(err, errCrash) {
				t.Fatal(fmt.Sprint("not cut off: ", err))
			}
		}
		g.fault = nil
		g.busy = -time.Minute // the clocks of a lock and of its reader differ
		if done, err := g.Rewrap(g.Ctx(), l); err != nil || !done {
			t.Errorf("%s: %t, %v", id, done, err)
		}
		g.left(1)
		if body, err := g.Body(g.Ctx(), g.listed(id)); err != nil || len(body) == 0 {
			t.Errorf("%s: its body: %v", id, err)
		}
	}
}
