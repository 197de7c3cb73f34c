package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

type gatesBench struct {
	*gates
	mu     sync.Mutex
	events []Event
}

func newGatesBench(sources ...Source) *gatesBench {
	b := &gatesBench{}
	b.gates = newGates(sources, func(e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	})
	return b
}

func TestGates_PauseDoublesAndOneProbeGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"key:main"}})
		for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			want *= time.Second
			start := time.Now()
			if state := g.wait(t.Context(), "a"); i > 0 && state != gateProbe {
				t.Fatalf("round %d: state %v, want a probe", i, state)
			}
			p := g.admit(t.Context(), "a")
			if got := p.fail("key:main", 0); got != want {
				t.Errorf("round %d: paused for %v, want %v", i, got, want)
			}
			if got := time.Since(start); i == 0 && got != 0 {
				t.Errorf("the first message waited %v", got)
			}
			if g.admit(t.Context(), "a") != nil {
				t.Errorf("round %d: a message was admitted during the pause", i)
			}
		}
		g.wait(t.Context(), "a")
		g.admit(t.Context(), "a").clear()
		if state, _, _ := g.state("a"); state != gateOpen {
			t.Errorf("state %v after a probe that got through, want open", state)
		}
		if got := g.admit(t.Context(), "a").fail("key:main", 0); got != 2*time.Second {
			t.Errorf("paused for %v after success, want the first step again", got)
		}
	})
}

func TestGates_CrowdFailingTogetherIsOneFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"group:default"}})
		var crowd []*pass
		for range 64 {
			crowd = append(crowd, g.admit(t.Context(), "a"))
		}
		first := crowd[0].fail("group:default", 0)
		for _, p := range crowd[1:] {
			if got := p.fail("group:default", 0); got != first {
				t.Fatalf("a later failure paused for %v, want %v", got, first)
			}
		}
		if got := crowd[0].fail("group:default", time.Minute); got != time.Minute {
			t.Errorf("a Retry-After of 1m gave %v: it must lengthen the pause", got)
		}
		if got := crowd[0].fail("group:default", time.Hour); got != 5*time.Minute {
			t.Errorf("a Retry-After of 1h gave %v, want the cap of 5m", got)
		}
		if len(g.events) != 1 {
			t.Errorf("%d events for one pause: %v", len(g.events), g.events)
		}
	})
}

func TestGates_OthersWaitForTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"key:k"}}, Source{Name: "b", Scopes: []string{"key:k"}},
			Source{Name: "c", Scopes: []string{"key:other"}})
		g.admit(t.Context(), "a").fail("key:k", 0)
		if g.admit(t.Context(), "b") != nil {
			t.Error("source b pulls although its key is paused")
		}
		if g.admit(t.Context(), "c") == nil {
			t.Error("source c is held up by a key that is not its own")
		}
		time.Sleep(2 * time.Second)
		probe := g.admit(t.Context(), "a")
		var admitted []*pass
		go func() { admitted = append(admitted, g.admit(t.Context(), "b")) }()
		synctest.Wait()
		if len(admitted) != 0 {
			t.Fatal("a second message went out beside the probe")
		}
		probe.clear()
		synctest.Wait()
		if len(admitted) != 1 || admitted[0] == nil {
			t.Error("the probe got through and the next message was not admitted")
		}
	})
}

func TestGates_DroppedProbeIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"key:k"}})
		g.admit(t.Context(), "a").fail("key:k", 0)
		time.Sleep(2 * time.Second)
		g.admit(t.Context(), "a").drop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g.admit(ctx, "a") == nil {
			t.Error("nobody may probe after a probe that learnt nothing")
		}
	})
}

func TestGates_UnknownScopePausesOnlyItsSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a"}, Source{Name: "b"})
		g.admit(t.Context(), "a").fail("host:nobody-declared-this", 0)
		if g.admit(t.Context(), "a") != nil {
			t.Error("the source itself was not paused")
		}
		if g.admit(t.Context(), "b") == nil {
			t.Error("another source was paused")
		}
		if got := g.paused(); len(got) != 1 || got["source:a"] == 0 {
			t.Errorf("paused: %v", got)
		}
	})
}

func TestGates_ChangesAreReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"key:k"}})
		g.admit(t.Context(), "a").fail("key:k", 0)
		g.wait(t.Context(), "a")
		p := g.admit(t.Context(), "a")
		p.clear()
		p.drop()
		var kinds []EventKind
		for _, e := range g.events {
			kinds = append(kinds, e.Kind)
		}
		if want := []EventKind{EventPaused, EventResumed}; !slices.Equal(kinds, want) {
			t.Errorf("events %v, want %v", kinds, want)
		}
	})
}

func TestGates_ProbeEndsAPauseEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"key:k"}})
		g.probe("key:k") // nothing is paused: nothing happens
		g.admit(t.Context(), "a").fail("key:k", time.Minute)
		begun := time.Now()
		time.AfterFunc(3*time.Second, func() { g.probe("key:k") })
		if state := g.wait(t.Context(), "a"); state != gateProbe || time.Since(begun) != 3*time.Second {
			t.Fatalf("state %v after %v, want a probe after 3s", state, time.Since(begun))
		}
		g.probe("key:other")
		p := g.admit(t.Context(), "a")
		g.probe("key:k") // one is under way: no second one
		if _, wait := g.tryAdmit("a"); wait == nil {
			t.Error("a second message goes out beside the probe")
		}
		if got := p.fail("key:k", 0); got != 4*time.Second {
			t.Errorf("paused again for %v, want the second step", got)
		}
		g.probe("key:k")
		g.admit(t.Context(), "a").clear()
		if state, _, _ := g.state("a"); state != gateOpen {
			t.Errorf("state %v, want open", state)
		}
		var probes []int
		for _, e := range g.events {
			probes = append(probes, e.Probes)
		}
		if want := []int{0, 1, 0}; !slices.Equal(probes, want) {
			t.Errorf("events tell of %v failed probes, want %v", probes, want)
		}
	})
}

// A worker that cannot reach what others have just found to work keeps that to itself.
func TestGates_TroubleOfOneWorkerIsNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"host:h"}})
		var posted []change
		g.post = func(c change) { posted = append(posted, c) }
		g.admit(t.Context(), "a").fail("host:h", 0)
		if len(posted) != 1 || posted[0].kind != pausing {
			t.Fatalf("a host that is down: %+v", posted)
		}
		// The board tells of it, then another worker's probe gets through.
		n, _ := decodeNotices(nil)
		n.apply(posted[0], "me")
		g.adopt(n, time.Now(), "me", nil)
		n, _ = decodeNotices(nil)
		g.adopt(n, time.Now(), "me", nil)
		if state, _, _ := g.state("a"); state != gateOpen {
			t.Fatalf("state %v after another worker's probe", state)
		}
		if wait := g.admit(t.Context(), "a").fail("host:h", 0); wait != time.Second || len(posted) != 1 {
			t.Errorf("paused for %v, told %+v: want a pause that nobody hears of", wait, posted)
		}
		time.Sleep(time.Second)
		g.admit(t.Context(), "a").clear()
		time.Sleep(flapping)
		g.admit(t.Context(), "a").fail("host:h", 0)
		if len(posted) != 2 {
			t.Errorf("later trouble is kept from the others: %+v", posted)
		}
	})
}

func TestGates_StrikesOpenTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"host:h"}})
		hit := func(n int) (wait time.Duration) {
			for range n {
				wait, _ = g.admit(t.Context(), "a").strike()
			}
			return wait
		}
		if hit(g.breakAfter-1) != 0 {
			t.Error("paused too early")
		}
		g.admit(t.Context(), "a").clear() // one that got through
		if hit(g.breakAfter-1) != 0 {
			t.Error("failures before a success count")
		}
		time.Sleep(strikesTogether + time.Second)
		if hit(1) != 0 {
			t.Error("failures long ago count")
		}
		if hit(g.breakAfter-1) != time.Second || g.breakers()["host:h"] != "open" {
			t.Errorf("not paused after %d failures in a row: %v", g.breakAfter, g.breakers())
		}
		time.Sleep(time.Second)
		if g.breakers()["host:h"] != "probing" {
			t.Errorf("after the pause: %v", g.breakers())
		}
		if wait, paused := g.admit(t.Context(), "a").strike(); wait != 2*time.Second || !paused {
			t.Errorf("a probe that failed pauses for %v", wait)
		}
		time.Sleep(2 * time.Second)
		g.admit(t.Context(), "a").clear()
		if g.breakers()["host:h"] != "closed" || g.struck.Load() != 0 {
			t.Errorf("after a probe that got through: %v", g.breakers())
		}
	})
}

func FuzzDecodeNotices(f *testing.F) {
	f.Add([]byte(`{"last":3,"scopes":{"host:h":{"round":3,"left":-1,"prober":"w","probe_left":5}}}`))
	f.Add([]byte(`{"scopes":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decodeNotices(data)
		if err != nil {
			return
		}
		for _, post := range []func(change){nil, func(change) {}} {
			g := newGatesBench(Source{Name: "a", Scopes: []string{"host:h"}})
			g.post = post
			g.adopt(n.after(time.Second), time.Now(), "me", nil)
			n.apply(change{kind: claiming, scope: "host:h", base: 3}, "me")
			for _, own := range []string{"me", "another"} {
				g.adopt(n, time.Now(), own, nil)
				g.renewals()
				for _, end := range []func(*pass){(*pass).clear, func(p *pass) { p.fail("host:h", 0) }, func(p *pass) { p.strike() }} {
					if p, _ := g.tryAdmit("a"); p != nil {
						end(p)
						p.drop()
					}
					g.state("a")
					g.paused()
					g.breakers()
				}
			}
		}
	})
}

// Trouble counts for the host that was asked last, and a host that nobody asked is not found
// to work: a message that may go to two hosts tells which it went to.
func TestGates_OnlyHostsThatWereAskedCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGatesBench(Source{Name: "a", Scopes: []string{"host:api"}})
		g.breakAfter = 3
		failed := errors.New("503")
		for range 3 {
			p := g.admit(t.Context(), "a", "host:blob")
			p.hear(outbox.Answer{Status: 503, Hosts: []string{"host:blob", "host:api"}}, failed)
			p.strike()
		}
		if state, _ := g.stateOf([]string{"host:blob"}, time.Now()); state != gateOpen {
			t.Error("the host that worked is paused")
		}
		if state, _ := g.stateOf([]string{"host:api"}, time.Now()); state != gatePaused {
			t.Error("the host in trouble is not paused")
		}
		time.Sleep(time.Minute)
		g.admit(t.Context(), "a").clear()
		g.admit(t.Context(), "a", "host:blob").fail("host:blob", 0)
		time.Sleep(time.Minute)
		for _, asked := range [][]string{{"host:api"}, {}} {
			p := g.admit(t.Context(), "a", "host:blob")
			p.hear(outbox.Answer{Status: 200, Hosts: asked}, nil)
			p.clear()
			p.drop()
			if state, _ := g.stateOf([]string{"host:blob"}, time.Now()); state != gateProbe {
				t.Errorf("state %v after %v were asked, want a probe still to come", state, asked)
			}
		}
		p := g.admit(t.Context(), "a", "host:blob")
		p.hear(outbox.Answer{}, failed)
		p.fail("host:api", 0)
		p.drop()
		if state, _ := g.stateOf([]string{"host:blob"}, time.Now()); state != gateProbe {
			t.Errorf("state %v after nobody answered", state)
		}
	})
}
