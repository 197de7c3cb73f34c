package breaker

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Sources come and go while their scopes are paused: what stays, stays paused.
func TestSetSources_WhileTheyArePaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		for range g.after {
			g.trouble("a")
			p, _ := g.TryAdmit("b")
			p.Clear()
		}
		g.Admit(t.Context(), "b").Fail("group:g", 0)
		flight := &Permit{breaker: g.Breaker, source: newSource("a", nil)}
		if got := g.paused(); !slices.Equal(got, []string{"group:g", "source:a"}) {
			t.Fatalf("paused %v", got)
		}
		g.SetSources(scopes{"b": two["b"], "c": two["b"]})
		if got := g.paused(); !slices.Equal(got, []string{"group:g"}) {
			t.Errorf("paused %v after a is gone", got)
		}
		if last := g.changes[len(g.changes)-1]; last.Scope != "source:a" || last.Paused || last.Reason == "" {
			t.Errorf("told last: %+v", last)
		}
		if state, _, _ := g.State("c"); state != Paused {
			t.Errorf("a source that is new is %v while its group is paused", state)
		}
		flight.Strike(false) // what is in flight ends as ever
		flight.Drop()
		bubble.Sleep(15 * time.Second)
		if !g.works("c") || len(g.Entries()) != 0 {
			t.Errorf("paused %v", g.paused())
		}
		g.SetSources(scopes{"c": {"key:other"}})
		g.Admit(t.Context(), "c").Fail("key:other", 0)
		if got := g.paused(); !slices.Equal(got, []string{"key:other"}) {
			t.Errorf("paused %v: the scopes of c are new", got)
		}
	})
}

// What is known of a source's key is kept while the source has that key, and no longer.
func TestSetSources_AnotherKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := func(g *rig) Verdict {
			p, _ := g.TryAdmit("b")
			defer p.Drop()
			_, verdict := p.RefuseToken()
			return verdict
		}
		g := newRig(scopes{"a": {"key:one"}, "b": {"key:two"}})
		g.Admit(t.Context(), "a").Clear()
		g.SetSources(scopes{"a": {"key:two"}, "b": {"key:two"}})
		if verdict := refused(g); verdict != OfKey {
			t.Errorf("verdict %d, want %d: the key has worked for nobody", verdict, OfKey)
		}
		g = newRig(scopes{"a": {"key:two"}, "b": {"key:two"}})
		refused(g)
		g.SetSources(scopes{"a": {"key:two"}, "b": {"key:two", "host:h"}})
		if s := g.sources["b"]; s.refusals != 1 || !s.refused.Load() {
			t.Errorf("%d refusals of b are known after it got another host, want 1", s.refusals)
		}
	})
}

// A source that is added leaves the others as they are.
func TestAddSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		g.Admit(t.Context(), "a").Fail("group:g", 0)
		g.AddSource("c")
		g.AddSource("a")
		if state, _, _ := g.State("a"); state != Paused {
			t.Errorf("a is %v while its group is paused", state)
		}
		if !g.works("c") {
			t.Error("c does not depend on the group, and does not work")
		}
		state, _ := decodeShared(nil)
		state.apply(update{kind: pausing, scope: "source:c", left: time.Second}, "another")
		g.adopt(state, time.Now(), "me", nil, true)
		if state, _, _ := g.State("c"); state != Paused {
			t.Errorf("c is %v although another worker has paused it", state)
		}
	})
}

// Thousands of sources in trouble pause one by one, and the state that workers share stays small.
func TestShared_StaysSmallWithThousandsOfSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		many := scopes{}
		for i := range n {
			many[fmt.Sprintf("source-%d", i)] = []string{"key:k", "group:g", "host:h"}
		}
		g := newRig(many)
		state, _ := decodeShared(nil)
		g.post = func(u update) { state.apply(u, "me") }
		for name := range many {
			for i := range g.after {
				p, _ := g.TryAdmit(name)
				p.Hear(Attempt{Message: uint64(i), Reason: "unavailable: status 500: redox could not take it now"})
				p.Strike(true)
				p.Drop()
			}
		}
		if len(g.Entries()) != n {
			t.Fatalf("%d pauses", len(g.Entries()))
		}
		text, err := json.Marshal(state)
		if err != nil || len(state.Scopes) > maxNarrow || len(text) > 64<<10 {
			t.Errorf("%d shared pauses in %d bytes, %v", len(state.Scopes), len(text), err)
		}
		g.adopt(state, time.Now(), "me", nil, true)
		if len(g.Entries()) != n {
			t.Errorf("%d pauses after a look at the shared state", len(g.Entries()))
		}
		bubble.Sleep(time.Minute)
		for name := range many {
			if !g.works(name) {
				if state, _, _ := g.State(name); state != Probing { // it asks the others first
					t.Fatalf("%s is %v", name, state)
				}
			}
		}
		g.adopt(state, time.Now(), "me", nil, true) // asked, and had
		if len(g.Entries()) > maxNarrow {
			t.Errorf("%d pauses left", len(g.Entries()))
		}
	})
}

// What is in the shared state of sources that a worker does not serve is not its own.
func TestShared_PausesOfOthersSourcesAreLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		state, _ := decodeShared(nil)
		for _, scope := range []string{"source:z", "dest:z:1", "source:a", "host:h"} {
			state.apply(update{kind: pausing, scope: scope, left: time.Second, reason: "why"}, "another")
		}
		g.adopt(state, time.Now(), "me", nil, true)
		if got := g.paused(); !slices.Equal(got, []string{"host:h", "source:a"}) {
			t.Errorf("paused %v", got)
		}
		if g.Entries()[1].Reason != "why" {
			t.Errorf("%+v", g.Entries())
		}
	})
}
