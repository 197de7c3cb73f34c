package breaker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// limit has a source meet the limit of the group once the group is open, and answers what is
// paused then.
func (r *rig) limit(t *testing.T, source string) []string {
	t.Helper()
	r.Wait(t.Context(), source)
	p := r.Admit(t.Context(), source)
	p.Fail("group:g", 0)
	p.Drop()
	return r.paused()
}

func (r *rig) answer(t *testing.T, source string) {
	t.Helper()
	r.Wait(t.Context(), source)
	p := r.Admit(t.Context(), source)
	p.Clear()
	p.Drop()
}

// A limit that one source alone meets again and again, while others are answered, is its own.
func TestThrottle_OfOneSourceAlone(t *testing.T) {
	t.Parallel()
	three := scopes{"a": {"key:k", "group:g", "host:h"}, "b": {"key:k", "group:g", "host:h"}, "c": {"key:k", "group:g", "host:h"}}
	group, own := []string{"group:g"}, []string{"source:a"}
	for name, tc := range map[string]struct {
		meet func(t *testing.T, g *rig)
		want []string
	}{
		"the first time": {func(*testing.T, *rig) {}, group},
		"again while others are answered": {func(t *testing.T, g *rig) {
			g.limit(t, "a")
			bubble.Sleep(16 * time.Second)
			g.answer(t, "b")
		}, own},
		"again after its own success": {func(t *testing.T, g *rig) {
			g.limit(t, "a")
			g.answer(t, "b")
			g.answer(t, "a")
		}, own},
		"again while nobody else was answered": {func(t *testing.T, g *rig) {
			g.limit(t, "a")
			g.answer(t, "a")
		}, group},
		"again, others answered before the pause alone": {func(t *testing.T, g *rig) {
			late := g.Admit(t.Context(), "b")
			g.limit(t, "a")
			bubble.Sleep(time.Second)
			late.Clear()
			g.answer(t, "a")
		}, group},
		"after another met it": {func(t *testing.T, g *rig) {
			g.limit(t, "a")
			g.answer(t, "b")
			g.limit(t, "c")
			g.answer(t, "b")
		}, group},
		"long after": {func(t *testing.T, g *rig) {
			g.limit(t, "a")
			g.answer(t, "b")
			bubble.Sleep(throttlesTogether + time.Minute)
		}, group},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(three)
				tc.meet(t, g)
				if got := g.limit(t, "a"); !slices.Equal(got, tc.want) {
					t.Errorf("paused %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// While one source is limited by itself others go on, its pauses get longer, and it goes on once it
// is answered; what another meets is the group's again.
func TestThrottle_HoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		g.limit(t, "a")
		g.answer(t, "b")
		for range 8 {
			if got := g.limit(t, "a"); !slices.Equal(got, []string{"source:a"}) {
				t.Fatalf("paused %v", got)
			}
			g.answer(t, "b")
		}
		if _, left, _ := g.State("a"); left < 20*time.Second || left > 30*time.Second {
			t.Errorf("its pause is of %v", left)
		}
		g.answer(t, "a")
		if got := g.paused(); len(got) > 0 {
			t.Errorf("still paused: %v", got)
		}
		if got := g.limit(t, "b"); !slices.Equal(got, []string{"group:g"}) {
			t.Errorf("paused %v", got)
		}
	})
}
