package outbox

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func (g graveyard) discardAll(o DiscardOptions) string {
	g.t.Helper()
	return g.outcomes(g.Discard(g.ctx(), g.selected(DeadQuery{}), o))
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	poison := letter("bad", 9)
	poison.Source, poison.Subject = "", "redox.out.x"
	g.bury(letter("m-1", 1), letter("m-2", 2), poison)
	if got := g.discardAll(DiscardOptions{DryRun: true}); got != "m-1 discarded, m-2 discarded, bad discarded" {
		t.Error(got)
	}
	g.left(3)
	s := g.selected(DeadQuery{IDs: []string{"m-1", "bad"}})
	if got := g.outcomes(g.Discard(g.ctx(), s, DiscardOptions{})); got != "m-1 discarded, bad discarded" {
		t.Error(got)
	}
	if got := g.outcomes(g.Discard(g.ctx(), s, DiscardOptions{})); got != " gone,  gone" {
		t.Error(got)
	}
	if got := g.ids(DeadQuery{}); got != "m-2" || len(g.queued()) != 0 {
		t.Errorf("left %s, %d published", got, len(g.queued()))
	}
	g.left(1)
}

// An object goes with the last one that names it: dead letter or message.
func TestDiscard_Objects(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	bury := func(id string, sequence uint64, object string) {
		t.Helper()
		l := letter(id, sequence)
		l.Body, l.Header[HeaderBodyObject] = nil, []string{object}
		g.bury(l)
	}
	for _, name := range []string{"clinic-a/dlq-own", "clinic-a/shared", "clinic-a/queued", "clinic-b/foreign"} {
		g.put(g.bodies, name, []byte(name))
	}
	bury("own", 1, "clinic-a/dlq-own")
	bury("shared", 2, "clinic-a/shared")
	bury("stays", 3, "clinic-a/shared")
	bury("queued", 4, "clinic-a/queued")
	bury("thief", 5, "clinic-b/foreign")
	bury("lost", 6, "clinic-a/never-there")
	_, err := g.publish("redox.out.clinic-a.request", HeaderBodyObject, "clinic-a/queued")
	must(g.topologyRig, err)
	check := func(when string, want map[string]bool) {
		t.Helper()
		for name, there := range want {
			_, err := g.bodies.Get(g.ctx(), name, -1)
			if there != (err == nil) || err != nil && !errors.Is(err, ErrBodyMissing) {
				t.Errorf("%s: %s: there %v, %v", when, name, there, err)
			}
		}
	}
	some := g.selected(DeadQuery{IDs: []string{"own", "shared", "queued", "thief", "lost"}})
	g.outcomes(g.Discard(g.ctx(), some, DiscardOptions{DryRun: true}))
	check("dry run", map[string]bool{"clinic-a/dlq-own": true, "clinic-a/shared": true})
	g.outcomes(g.Discard(g.ctx(), some, DiscardOptions{}))
	g.left(1)
	check("some", map[string]bool{"clinic-a/dlq-own": false, "clinic-a/shared": true, "clinic-a/queued": true, "clinic-b/foreign": true})
	g.discardAll(DiscardOptions{})
	check("all", map[string]bool{"clinic-a/shared": false, "clinic-a/queued": true})
	g.left(0)
}

// A replay that was killed after its publish is finished, not undone.
func TestDiscard_AfterAnInterruptedReplay(t *testing.T) {
	t.Parallel()
	for point, want := range map[string]string{"claimed": "m-000 discarded", "published": "m-000 already replayed"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.buryMany(1)
			g.crashing(point, 1)
			g.replayUntilCrash(ReplayOptions{})
			g.fault = nil
			if got := g.discardAll(DiscardOptions{}); got != "m-000 busy" { // perhaps it is still at work
				t.Fatal(got)
			}
			g.age()
			if got := g.discardAll(DiscardOptions{}); got != want {
				t.Error(got)
			}
			g.left(0)
		})
	}
}

func TestDiscard_AfterAnInterruptedDiscard(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(1)
	s := g.selected(DeadQuery{})
	if _, err := g.claim(g.ctx(), s.entries[0], claim{}); err != nil {
		t.Fatal(err)
	}
	if got := g.replayAll(ReplayOptions{}); got != "m-000 busy" {
		t.Error(got)
	}
	g.age()
	if got := g.replayAll(ReplayOptions{}); got != "m-000 replayed" {
		t.Error(got)
	}
	g.left(0)
}

func TestDiscard_ReleasesTheToken(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(orderedLetter("first", goldenToken, 7))
	must(g.topologyRig, g.held.Hold(g.ctx(), "clinic-a", goldenToken, 7, 7))
	must(g.topologyRig, g.held.Hold(g.ctx(), "clinic-a", goldenToken, 8, 8))
	g.discardAll(DiscardOptions{})
	held, err := g.held.Load(g.ctx(), "clinic-a", goldenToken)
	if err != nil || len(held.Pending) != 1 || held.Pending[8] != 8 {
		t.Errorf("%+v, %v", held, err)
	}
}

// A replay that goes on with what a killed run has left is at work: another operator's discard
// leaves it alone. Else the message would be sent, and its body deleted.
func TestDiscard_WhileAnInterruptedReplayGoesOn(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letter("m-1", 1))
	g.crashing("claimed", 1)
	g.replayUntilCrash(ReplayOptions{})
	const busy = time.Second
	sleep(g.ctx(), busy+100*time.Millisecond)
	second, third := graveyard{g.topologyRig, g.deadLetters()}, graveyard{g.topologyRig, g.deadLetters()}
	second.busy, third.busy = busy, busy
	var discarded string
	second.fault = func(point string) error {
		if point == "claimed" && discarded == "" {
			kept, err := leader{g.topologyRig.js, "KV_REDOX_LEDGER"}.last(g.ctx(), "$KV.REDOX_LEDGER."+claimKeys+".>")
			if err != nil || first(kept.Header, jetstream.MsgTTLHeader) == "" {
				t.Errorf("a claim without an end: %v, %v", kept.Header, err)
			}
			discarded = third.outcomes(third.Discard(g.ctx(), third.selected(DeadQuery{}), DiscardOptions{}))
		}
		return nil
	}
	if got := second.replayAll(ReplayOptions{}); got != "m-1 replayed" || discarded != "m-1 busy" {
		t.Errorf("%s; %s", got, discarded)
	}
	if got := g.queuedIDs(); got != "m-1:r1" {
		t.Errorf("queued: %s", got)
	}
	g.left(0)
}
