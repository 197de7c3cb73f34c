package breaker

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// two sources that share a key, a host and a group.
var two = scopes{"a": {"key:k", "group:g", "host:h"}, "b": {"key:k", "group:g", "host:h"}}

// What a source's messages meet pauses the narrowest scope that explains it.
func TestWhose_TheNarrowestScopeThatExplains(t *testing.T) {
	t.Parallel()
	const a1, a2, b1, b2 = "dest:a:1", "dest:a:2", "dest:b:1", "dest:b:2"
	type met struct {
		source, dest string
		good         bool
	}
	bad, good := func(source, dest string) met { return met{source, dest, false} }, func(source, dest string) met { return met{source, dest, true} }
	for name, tc := range map[string]struct {
		met  []met
		want []string
	}{
		"one source":                                  {[]met{bad("a", "")}, []string{"source:a"}},
		"one destination":                             {[]met{bad("a", a1)}, []string{a1}},
		"one destination while the source works":      {[]met{bad("a", a1), good("a", a2), good("a", "")}, []string{a1}},
		"two destinations of one source":              {[]met{bad("a", a1), bad("a", a2)}, []string{"source:a"}},
		"a destination of two sources":                {[]met{bad("a", a1), bad("b", b1)}, []string{a1, b1}},
		"one source while another works":              {[]met{bad("a", ""), good("b", "")}, []string{"source:a"}},
		"two sources":                                 {[]met{bad("a", ""), bad("b", "")}, []string{"host:h"}},
		"two sources at two destinations":             {[]met{bad("a", a1), bad("b", b2)}, []string{"host:h"}},
		"a destination and another source":            {[]met{bad("a", a1), bad("b", "")}, []string{"host:h"}},
		"two sources with success between":            {[]met{bad("a", ""), good("a", ""), bad("b", ""), good("b", "")}, nil},
		"two sources while a destination works":       {[]met{bad("a", ""), bad("b", ""), good("b", b1)}, []string{"source:a"}},
		"success of one destination saves the source": {[]met{bad("a", a1), bad("a", a2), good("a", "")}, []string{a1, a2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newRig(two)
				for range 2 * g.after {
					for _, m := range tc.met {
						var own []string
						if m.dest != "" {
							own = []string{m.dest}
						}
						if !m.good {
							g.trouble(m.source, own...)
						} else if p, _ := g.TryAdmit(m.source, own...); p != nil {
							p.Clear()
							p.Drop()
						} else {
							t.Fatalf("%s is held up: %v", m.source, g.paused())
						}
					}
				}
				if got := g.paused(); !slices.Equal(got, tc.want) {
					t.Errorf("paused %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// A single message that fails again and again pauses nothing and is not excused: it may be to blame
// itself. So is none that fails while others show that the host works.
func TestWhose_WhatIsExcused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		for range 20 {
			p, _ := g.TryAdmit("a")
			p.Hear(Attempt{Message: 1})
			if wait, excused := p.Strike(false); wait != 0 || excused {
				t.Fatalf("a single message: wait %v, excused %v", wait, excused)
			}
			bubble.Sleep(time.Second)
		}
		// An outage, for all that is known.
		for range g.after {
			g.trouble("a")
		}
		bubble.Sleep(time.Second)
		if _, excused := g.trouble("a"); !excused {
			t.Error("a probe of what may be an outage of the host is not excused")
		}
		p, _ := g.TryAdmit("b")
		p.Clear()
		bubble.Sleep(2 * time.Second)
		if wait, excused := g.trouble("a"); excused || wait <= 0 {
			t.Errorf("the host works for others: wait %v, excused %v", wait, excused)
		}
	})
}

// What may be the message's own fault pauses its source at most, and excuses nothing.
func TestWhose_DoubtfulFailuresAreNeverTheHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		for i := range uint64(100) {
			for _, source := range []string{"a", "b"} {
				if p, _ := g.TryAdmit(source); p != nil {
					p.Hear(Attempt{Message: i})
					if _, excused := p.Strike(true); excused {
						t.Fatal("excused")
					}
				}
			}
		}
		if got := g.paused(); !slices.Equal(got, []string{"source:a", "source:b"}) {
			t.Errorf("paused %v", got)
		}
	})
}

// A probe that hangs keeps nobody else from probing; one that failed leaves the next to others.
func TestProbe_HoldsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		g.Admit(t.Context(), "a").Fail("host:h", 0)
		bubble.Sleep(time.Second)
		hanging := g.Admit(t.Context(), "a")
		if state, wait, _ := g.State("b"); state != Paused || wait != patience {
			t.Fatalf("state %v for %v", state, wait)
		}
		begun := time.Now()
		p := g.Admit(t.Context(), "b")
		if waited := time.Since(begun); waited != patience {
			t.Errorf("another source waited for %v", waited)
		}
		if q, _ := g.TryAdmit("a"); q != nil {
			t.Error("a source has two probes at once")
		}
		p.Clear()
		p.Drop()
		if len(g.Entries()) != 0 {
			t.Errorf("paused %v", g.paused())
		}
		hanging.Hear(Attempt{Silent: true})
		hanging.Strike(false)
		hanging.Drop()

		// a fails its probe: the next one is another source's.
		g.Admit(t.Context(), "a").Fail("host:h", 0)
		bubble.Sleep(time.Second)
		g.Admit(t.Context(), "a").Fail("host:h", 0)
		bubble.Sleep(2 * time.Second)
		if q, _ := g.TryAdmit("a"); q != nil {
			t.Error("the source that failed probes again, before others")
		}
		if q, _ := g.TryAdmit("b"); q == nil {
			t.Error("another source may not probe")
		} else {
			q.Drop()
		}
		bubble.Sleep(yielding)
		if q, _ := g.TryAdmit("a"); q == nil {
			t.Error("the source that failed may never probe again")
		}
	})
}

// refuse is an attempt whose token is refused.
func (r *rig) refuse(source string) Verdict {
	p, _ := r.TryAdmit(source)
	if p == nil {
		return -1
	}
	defer p.Drop()
	p.Hear(Attempt{Reason: "status 401"})
	_, v := p.RefuseToken()
	return v
}

func (r *rig) works(source string) bool {
	p, _ := r.TryAdmit(source)
	if p != nil {
		p.Clear()
		p.Drop()
	}
	return p != nil
}

// A token that is refused to one source while its key works for others is the source's trouble; one
// that is refused to all, the key's.
func TestRefuseToken_WhoseTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		if v := g.refuse("a"); v != OfKey || !slices.Equal(g.paused(), []string{"key:k"}) {
			t.Errorf("nothing is known of the key: %v, paused %v", v, g.paused())
		}
		bubble.Sleep(2 * time.Second)
		if !g.works("b") || len(g.paused()) != 0 {
			t.Fatalf("the probe of b got through, paused %v", g.paused())
		}
		for i := range 10 {
			v := g.refuse("a")
			if v != Proven || !slices.Equal(g.paused(), []string{"source:a"}) {
				t.Fatalf("the key works for b: %v, paused %v", v, g.paused())
			}
			if !g.works("b") {
				t.Fatal("b is held up")
			}
			if got := g.Entries()[0]; i == 0 && (!got.Refused || got.Reason != "status 401") {
				t.Errorf("%+v", got)
			}
			bubble.Sleep(time.Minute)
		}
		if !g.works("a") || len(g.paused()) != 0 {
			t.Errorf("a works again, paused %v", g.paused())
		}
		// It is withdrawn from all: first from a, which is paused after some in a row, then b.
		for range g.after {
			if v := g.refuse("a"); v != OfSource {
				t.Fatalf("b's last answer was good: %v", v)
			}
		}
		if !slices.Equal(g.paused(), []string{"source:a"}) {
			t.Errorf("paused %v", g.paused())
		}
		if v := g.refuse("b"); v != OfKey || !slices.Equal(g.paused(), []string{"key:k"}) {
			t.Errorf("the key works for nobody: %v, paused %v", v, g.paused())
		}
	})
}

// Two sources that are refused do not pause the key of a third again and again.
func TestRefuseToken_KnownRefusalsAreNoEvidenceAgainstTheKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(scopes{"a": {"key:k"}, "b": {"key:k"}, "c": {"key:k"}})
		g.works("c")
		pauses := 0
		for range 50 {
			g.refuse("a")
			g.refuse("b")
			if slices.Contains(g.paused(), "key:k") {
				pauses++
			}
			bubble.Sleep(2 * time.Minute)
			if !g.works("c") {
				t.Fatal("c is held up")
			}
			bubble.Sleep(2 * time.Minute)
		}
		if pauses > 1 {
			t.Errorf("the key was paused %d times", pauses)
		}
	})
}

// A new key is tried at once, also by sources that the old one was refused to.
func TestRefuseToken_ProbeEndsThePausesOfItsSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		g.works("b")
		g.refuse("a")
		g.Probe("key:k")
		if p, _ := g.TryAdmit("a"); p == nil {
			t.Errorf("paused %v", g.paused())
		}
	})
}

// The same refusal in a row pauses the source; then its messages are spared.
func TestRefuse_SparesWhatComesAfterEnoughInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		refuse := func(reason string) (spared bool) {
			p, _ := g.TryAdmit("a")
			defer p.Drop()
			p.Hear(Attempt{Reason: reason})
			_, spared = p.Refuse()
			return spared
		}
		for range g.after - 1 {
			if refuse("403") {
				t.Fatal("spared too early")
			}
		}
		if refuse("403: of another kind") {
			t.Error("another refusal counts as the same")
		}
		g.works("a")
		for range g.after - 1 {
			refuse("403")
			bubble.Sleep(time.Hour)
		}
		crowd, _ := g.TryAdmit("a")
		if !refuse("403") || !slices.Equal(g.paused(), []string{"source:a"}) {
			t.Errorf("not spared, paused %v", g.paused())
		}
		crowd.Hear(Attempt{Reason: "403"})
		if _, spared := crowd.Refuse(); !spared {
			t.Error("one that was under way is not spared")
		}
		bubble.Sleep(time.Minute)
		if !refuse("403") {
			t.Error("the probe is not spared")
		}
		if c := g.changes[0]; len(g.changes) != 2 || !c.Refused || c.Reason != "403" || g.changes[1].Probes != 1 {
			t.Errorf("changes %+v", g.changes)
		}
		bubble.Sleep(time.Minute)
		if !g.works("a") || len(g.paused()) != 0 {
			t.Errorf("paused %v", g.paused())
		}
		if refuse("403") {
			t.Error("refusals before a success count")
		}
	})
}

// A source whose probe hangs lets a message to another destination find out, too.
func TestProbe_OfASourceHoldsNoOtherDestination(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newRig(two)
		for range g.after {
			g.trouble("a")
		}
		bubble.Sleep(time.Second)
		hanging, _ := g.TryAdmit("a")
		bubble.Sleep(patience)
		if state, _, _ := g.State("a"); state != Probing {
			t.Errorf("state %v, want a message to another destination to be looked for", state)
		}
		if p, _ := g.TryAdmit("a"); p != nil {
			t.Error("a second message to the same goes beside the probe")
		}
		if state, wait, _ := g.State("a"); state != Paused || wait != patience {
			t.Errorf("state %v for %v after what was pulled in vain", state, wait)
		}
		p, _ := g.TryAdmit("a", "dest:a:1")
		if p == nil {
			t.Fatal("a message to another destination is held up")
		}
		p.Clear()
		p.Drop()
		hanging.Drop()
		if len(g.paused()) != 0 {
			t.Errorf("paused %v", g.paused())
		}
	})
}
