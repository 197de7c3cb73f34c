package breaker

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// rig is a breaker whose changes are noted.
type rig struct {
	*Breaker
	mu       sync.Mutex
	changes  []Change
	messages uint64
}

// trouble is an attempt at another message of a source that is met by 503.
func (r *rig) trouble(source string, own ...string) (delay time.Duration, excused bool) {
	p, _ := r.TryAdmit(source, own...)
	if p == nil {
		return -1, false
	}
	defer p.Drop()
	r.messages++
	p.Hear(Attempt{Message: r.messages, Reason: "status 503"})
	return p.Strike(false)
}

// paused lists the paused scopes.
func (r *rig) paused() (list []string) {
	for _, e := range r.Entries() {
		list = append(list, e.Scope)
	}
	return list
}

// scopes of sources.
type scopes = map[string][]string

func newRig(sources scopes) *rig {
	r := &rig{}
	r.Breaker = New(sources, 5, func(c Change) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.changes = append(r.changes, c)
	})
	return r
}

func TestBreaker_PauseDoublesAndOneProbeGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"key:main"}})
		for i, want := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
			want *= time.Second
			start := time.Now()
			if state := g.Wait(t.Context(), "a"); i > 0 && state != Probing {
				t.Fatalf("round %d: state %v, want a probe", i, state)
			}
			p := g.Admit(t.Context(), "a")
			if got := p.Fail("key:main", 0); got != want {
				t.Errorf("round %d: paused for %v, want %v", i, got, want)
			}
			if got := time.Since(start); i == 0 && got != 0 {
				t.Errorf("the first message waited %v", got)
			}
			if g.Admit(t.Context(), "a") != nil {
				t.Errorf("round %d: a message was admitted during the pause", i)
			}
		}
		g.Wait(t.Context(), "a")
		g.Admit(t.Context(), "a").Clear()
		if state, _, _ := g.State("a"); state != Open {
			t.Errorf("state %v after a probe that got through, want open", state)
		}
		if got := g.Admit(t.Context(), "a").Fail("key:main", 0); got != 2*time.Second {
			t.Errorf("paused for %v after success, want the first step again", got)
		}
	})
}

func TestBreaker_CrowdFailingTogetherIsOneFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"group:default"}})
		var crowd []*Permit
		for range 64 {
			crowd = append(crowd, g.Admit(t.Context(), "a"))
		}
		first := crowd[0].Fail("group:default", 0)
		for _, p := range crowd[1:] {
			if got := p.Fail("group:default", 0); got != first {
				t.Fatalf("a later failure paused for %v, want %v", got, first)
			}
		}
		if got := crowd[0].Fail("group:default", time.Minute); got != time.Minute {
			t.Errorf("a Retry-After of 1m gave %v: it must lengthen the pause", got)
		}
		if got := crowd[0].Fail("group:default", time.Hour); got != 5*time.Minute {
			t.Errorf("a Retry-After of 1h gave %v, want the cap of 5m", got)
		}
		if len(g.changes) != 1 {
			t.Errorf("%d events for one pause: %v", len(g.changes), g.changes)
		}
	})
}

func TestBreaker_OthersWaitForTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"key:k"}, "b": {"key:k"}, "c": {"key:other"}})
		g.Admit(t.Context(), "a").Fail("key:k", 0)
		if g.Admit(t.Context(), "b") != nil {
			t.Error("source b pulls although its key is paused")
		}
		if g.Admit(t.Context(), "c") == nil {
			t.Error("source c is held up by a key that is not its own")
		}
		bubble.Sleep(2 * time.Second)
		probe := g.Admit(t.Context(), "a")
		var admitted []*Permit
		go func() { admitted = append(admitted, g.Admit(t.Context(), "b")) }()
		synctest.Wait()
		if len(admitted) != 0 {
			t.Fatal("a second message went out beside the probe")
		}
		probe.Clear()
		synctest.Wait()
		if len(admitted) != 1 || admitted[0] == nil {
			t.Error("the probe got through and the next message was not admitted")
		}
	})
}

func TestBreaker_DroppedProbeIsPassedOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"key:k"}})
		g.Admit(t.Context(), "a").Fail("key:k", 0)
		bubble.Sleep(2 * time.Second)
		g.Admit(t.Context(), "a").Drop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g.Admit(ctx, "a") == nil {
			t.Error("nobody may probe after a probe that learnt nothing")
		}
	})
}

func TestBreaker_UnknownScopePausesOnlyItsSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": nil, "b": nil})
		g.Admit(t.Context(), "a").Fail("host:nobody-declared-this", 0)
		if g.Admit(t.Context(), "a") != nil {
			t.Error("the source itself was not paused")
		}
		if g.Admit(t.Context(), "b") == nil {
			t.Error("another source was paused")
		}
		if got := g.Entries(); len(got) != 1 || got[0].Scope != "source:a" || got[0].Left == 0 {
			t.Errorf("paused: %+v", got)
		}
	})
}

func TestBreaker_ChangesAreReportedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"key:k"}})
		g.Admit(t.Context(), "a").Fail("key:k", 0)
		g.Wait(t.Context(), "a")
		p := g.Admit(t.Context(), "a")
		p.Clear()
		p.Drop()
		if len(g.changes) != 2 || !g.changes[0].Paused || g.changes[1].Paused {
			t.Errorf("changes %+v, want a pause and its end", g.changes)
		}
	})
}

func TestBreaker_ProbeEndsAPauseEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"key:k"}})
		g.Probe("key:k") // nothing is paused: nothing happens
		g.Admit(t.Context(), "a").Fail("key:k", time.Minute)
		begun := time.Now()
		time.AfterFunc(3*time.Second, func() { g.Probe("key:k") })
		if state := g.Wait(t.Context(), "a"); state != Probing || time.Since(begun) != 3*time.Second {
			t.Fatalf("state %v after %v, want a probe after 3s", state, time.Since(begun))
		}
		g.Probe("key:other")
		p := g.Admit(t.Context(), "a")
		g.Probe("key:k") // one is under way: no second one
		if _, wait := g.TryAdmit("a"); wait == nil {
			t.Error("a second message goes out beside the probe")
		}
		if got := p.Fail("key:k", 0); got != 4*time.Second {
			t.Errorf("paused again for %v, want the second step", got)
		}
		g.Probe("key:k")
		g.Admit(t.Context(), "a").Clear()
		if state, _, _ := g.State("a"); state != Open {
			t.Errorf("state %v, want open", state)
		}
		var probes []int
		for _, e := range g.changes {
			probes = append(probes, e.Probes)
		}
		if want := []int{0, 1, 0}; !slices.Equal(probes, want) {
			t.Errorf("events tell of %v failed probes, want %v", probes, want)
		}
	})
}

// A worker that cannot reach what others have just found to work keeps that to itself.
func TestBreaker_TroubleOfOneWorkerIsNotShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"host:h"}})
		var posted []update
		g.post = func(c update) { posted = append(posted, c) }
		g.Admit(t.Context(), "a").Fail("host:h", 0)
		if len(posted) != 1 || posted[0].kind != pausing {
			t.Fatalf("a host that is down: %+v", posted)
		}
		// The board tells of it, then another worker's probe gets through.
		n, _ := decodeShared(nil)
		n.apply(posted[0], "me")
		g.adopt(n, time.Now(), "me", nil, true)
		n, _ = decodeShared(nil)
		g.adopt(n, time.Now(), "me", nil, true)
		if state, _, _ := g.State("a"); state != Open {
			t.Fatalf("state %v after another worker's probe", state)
		}
		if wait := g.Admit(t.Context(), "a").Fail("host:h", 0); wait != time.Second || len(posted) != 1 {
			t.Errorf("paused for %v, told %+v: want a pause that nobody hears of", wait, posted)
		}
		bubble.Sleep(time.Second)
		g.Admit(t.Context(), "a").Clear()
		bubble.Sleep(flapping)
		g.Admit(t.Context(), "a").Fail("host:h", 0)
		if len(posted) != 2 {
			t.Errorf("later trouble is kept from the others: %+v", posted)
		}
	})
}

// A host is paused by failures of more than one source in a row.
func TestBreaker_StrikesOpenTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"host:h"}, "b": {"host:h"}})
		n := 0
		hit := func(times int) (wait time.Duration, excused bool) {
			for range times {
				n++
				wait, excused = g.trouble([]string{"a", "b"}[n%2])
			}
			return wait, excused
		}
		if wait, excused := hit(g.after - 1); wait != 0 || excused {
			t.Error("paused too early")
		}
		g.Admit(t.Context(), "a").Clear() // one that got through
		if wait, _ := hit(g.after - 1); wait != 0 {
			t.Error("failures before a success count")
		}
		bubble.Sleep(strikesTogether + time.Second)
		if wait, _ := hit(1); wait != 0 {
			t.Error("failures long ago count")
		}
		if wait, excused := hit(g.after - 1); wait != time.Second || !excused || g.Hosts()["host:h"] != "open" {
			t.Errorf("not paused after %d failures in a row: %v", g.after, g.Hosts())
		}
		bubble.Sleep(time.Second)
		if g.Hosts()["host:h"] != "probing" {
			t.Errorf("after the pause: %v", g.Hosts())
		}
		if wait, excused := g.trouble("a"); wait != 2*time.Second || !excused {
			t.Errorf("a probe that failed pauses for %v", wait)
		}
		bubble.Sleep(2 * time.Second)
		g.Admit(t.Context(), "b").Clear()
		if g.Hosts()["host:h"] != "closed" || len(g.Entries()) != 0 {
			t.Errorf("after a probe that got through: %v %v", g.Hosts(), g.Entries())
		}
	})
}

func FuzzDecodeShared(f *testing.F) {
	f.Add([]byte(`{"last":3,"scopes":{"host:h":{"generation":3,"left":-1,"prober":"w","probe_left":5}}}`))
	f.Add([]byte(`{"scopes":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decodeShared(data)
		if err != nil {
			return
		}
		for _, post := range []func(update){nil, func(update) {}} {
			g := newRig(scopes{"a": {"host:h"}})
			g.post = post
			g.adopt(n.after(time.Second), time.Now(), "me", nil, true)
			n.apply(update{kind: claiming, scope: "host:h", base: 3}, "me")
			for _, own := range []string{"me", "another"} {
				g.adopt(n, time.Now(), own, nil, true)
				g.renewals()
				for _, end := range []func(*Permit){(*Permit).Clear, func(p *Permit) { p.Fail("host:h", 0) }, func(p *Permit) { p.Strike(false) }, func(p *Permit) { p.Refuse() }, func(p *Permit) { p.RefuseToken() }} {
					if p, _ := g.TryAdmit("a"); p != nil {
						end(p)
						p.Drop()
					}
					g.State("a")
					g.Entries()
					g.Hosts()
				}
			}
		}
	})
}

// Trouble counts for the host that was asked last, and a host that nobody asked is not found
// to work: a message that may go to two hosts tells which it went to.
func TestBreaker_OnlyHostsThatWereAskedCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"host:api"}, "b": {"host:api"}})
		g.after = 3
		for i := range 3 {
			p := g.Admit(t.Context(), []string{"a", "b"}[i%2], "host:blob")
			p.Hear(Attempt{Hosts: []string{"host:blob", "host:api"}, Message: uint64(i)})
			p.Strike(false)
		}
		if state, _ := g.stateOf([]string{"host:blob"}, who{source: "a"}, time.Now()); state != Open {
			t.Error("the host that worked is paused")
		}
		if state, _ := g.stateOf([]string{"host:api"}, who{source: "a"}, time.Now()); state != Paused {
			t.Error("the host in trouble is not paused")
		}
		bubble.Sleep(time.Minute)
		g.Admit(t.Context(), "a").Clear()
		g.Admit(t.Context(), "a", "host:blob").Fail("host:blob", 0)
		bubble.Sleep(time.Minute)
		for _, asked := range [][]string{{"host:api"}, {}} {
			p := g.Admit(t.Context(), "a", "host:blob")
			p.Hear(Attempt{Hosts: asked})
			p.Clear()
			p.Drop()
			if state, _ := g.stateOf([]string{"host:blob"}, who{source: "a"}, time.Now()); state != Probing {
				t.Errorf("state %v after %v were asked, want a probe still to come", state, asked)
			}
		}
		p := g.Admit(t.Context(), "a", "host:blob")
		p.Hear(Attempt{Silent: true})
		p.Fail("host:api", 0)
		p.Drop()
		if state, _ := g.stateOf([]string{"host:blob"}, who{source: "a"}, time.Now()); state != Probing {
			t.Errorf("state %v after nobody answered", state)
		}
	})
}
