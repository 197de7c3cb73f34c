package dlq

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func (g graveyard) discardAll(o DiscardOptions) string {
	g.T.Helper()
	return g.outcomes(g.Discard(g.Ctx(), g.selected(Query{}), o))
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
	s := g.selected(Query{IDs: []string{"m-1", "bad"}})
	if got := g.outcomes(g.Discard(g.Ctx(), s, DiscardOptions{})); got != "m-1 discarded, bad discarded" {
		t.Error(got)
	}
	if got := g.outcomes(g.Discard(g.Ctx(), s, DiscardOptions{})); got != " gone,  gone" {
		t.Error(got)
	}
	if got := g.ids(Query{}); got != "m-2" || len(g.Queued()) != 0 {
		t.Errorf("left %s, %d published", got, len(g.Queued()))
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
		l.Body, l.Header[contract.HeaderBodyObject] = nil, []string{object}
		g.bury(l)
	}
	for _, name := range []string{"clinic-a/dlq-own", "clinic-a/shared", "clinic-a/queued", "clinic-b/foreign"} {
		g.put(name, []byte(name))
	}
	bury("own", 1, "clinic-a/dlq-own")
	bury("shared", 2, "clinic-a/shared")
	bury("stays", 3, "clinic-a/shared")
	bury("queued", 4, "clinic-a/queued")
	bury("thief", 5, "clinic-b/foreign")
	bury("lost", 6, "clinic-a/never-there")
	_, err := g.Publish("redox.out.clinic-a.request", contract.HeaderBodyObject, "clinic-a/queued")
	g.Must(err)
	check := func(when string, want map[string]bool) {
		t.Helper()
		for name, there := range want {
			_, err := g.bodies.Get(g.Ctx(), name, -1)
			if there != (err == nil) || err != nil && !errors.Is(err, outbox.ErrBodyMissing) {
				t.Errorf("%s: %s: there %v, %v", when, name, there, err)
			}
		}
	}
	some := g.selected(Query{IDs: []string{"own", "shared", "queued", "thief", "lost"}})
	g.outcomes(g.Discard(g.Ctx(), some, DiscardOptions{DryRun: true}))
	check("dry run", map[string]bool{"clinic-a/dlq-own": true, "clinic-a/shared": true})
	g.outcomes(g.Discard(g.Ctx(), some, DiscardOptions{}))
	g.left(1)
	check("some", map[string]bool{"clinic-a/dlq-own": false, "clinic-a/shared": true, "clinic-a/queued": true, "clinic-b/foreign": true})
	g.discardAll(DiscardOptions{})
	check("all", map[string]bool{"clinic-a/shared": false, "clinic-a/queued": true})
	g.left(0)
}

// A replay that was killed after its publish is finished, not undone.
func TestDiscard_AfterAnInterruptedReplay(t *testing.T) {
	t.Parallel()
	for point, want := range map[string]string{"locked": "m-000 discarded", "published": "m-000 already replayed"} {
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
	s := g.selected(Query{})
	if _, err := g.lock(g.Ctx(), s.entries[0], lock{}); err != nil {
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

// The first goes, one in the middle, the last: what is left waits for what is left before it.
func TestDiscard_LetsTheRestGo(t *testing.T) {
	t.Parallel()
	ids := []string{"first", "second", "third", "last"}
	for _, gone := range [][]int{{0}, {1}, {2}, {3}, {0, 1}, {1, 2}, {2, 1}, {3, 2}, {3, 0}, {1, 3}, {3, 2, 1}, {1, 2, 3}, {0, 1, 2, 3}, {3, 2, 1, 0}} {
		g := newGraveyard(t)
		for i, id := range ids {
			g.buryHeld(orderedLetter(id, goldenToken, uint64(7+i*3)))
			g.buryHeld(orderedLetter("neighbour "+id, strings.Repeat("f", 32), uint64(8+i*3)))
		}
		neighbour := g.note(strings.Repeat("f", 32))
		for _, i := range gone {
			if got := g.outcomes(g.Discard(g.Ctx(), g.selected(Query{IDs: []string{ids[i]}}), DiscardOptions{})); got != ids[i]+" discarded" {
				t.Errorf("%v: %s", gone, got)
			}
		}
		left := slices.DeleteFunc([]int{0, 1, 2, 3}, func(i int) bool { return slices.Contains(gone, i) })
		newcomer := OrderPlace{Position: 40, Behind: 39}
		for n, i := range left {
			note := g.note(goldenToken)
			for m, j := range left {
				letter := orderedLetter(ids[j], goldenToken, uint64(7+j*3))
				at, _ := g.listed(letter.MessageID).Place("")
				if _, blocked := note.Blocks(at); blocked != (m > n) {
					t.Errorf("%v: with %s first, %s is blocked: %v", gone, ids[i], ids[j], blocked)
				}
			}
			if _, blocked := note.Blocks(newcomer); !blocked {
				t.Errorf("%v: one that is new goes before %s", gone, ids[i])
			}
			at, _ := g.listed(ids[i]).Place("")
			g.Must(g.held.Release(g.Ctx(), at))
		}
		if note := g.note(goldenToken); note.Last != 0 {
			t.Errorf("%v: the token is still held: %s", gone, note.value())
		}
		if diff := cmp.Diff(string(neighbour.value()), string(g.note(strings.Repeat("f", 32)).value())); diff != "" {
			t.Errorf("%v: the neighbour's note has changed (-want +got)\n%s", gone, diff)
		}
	}
}

// Killed after it let the rest go, a discard is run again, or the dead letter replayed: what
// is behind goes once what is before is through.
func TestDiscard_KilledAfterItLetTheRestGo(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryHeld(orderedLetter("first", goldenToken, 7), orderedLetter("second", goldenToken, 8), orderedLetter("third", goldenToken, 9))
	second := Query{IDs: []string{"second"}}
	g.crashing("skipped", 1)
	for _, err := range g.Discard(g.Ctx(), g.selected(second), DiscardOptions{}) {
		if !errors.Is(err, errCrash) {
			t.Fatalf("it was not killed: %v", err)
		}
	}
	g.fault = nil
	before := g.note(goldenToken)
	if got := g.outcomes(g.Discard(g.Ctx(), g.selected(second), DiscardOptions{})); got != "second discarded" {
		t.Error(got)
	}
	if diff := cmp.Diff(string(before.value()), string(g.note(goldenToken).value())); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	g.left(2)
}

// There is an end to what may be discarded out of turn, and a way on.
func TestDiscard_TooManyGaps(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	for i := range uint64(2*maxGaps + 3) {
		g.buryHeld(orderedLetter(fmt.Sprintf("%s-%03d", []string{"stays", "goes"}[i%2], i), goldenToken, i+1))
	}
	var odd []string
	for i := 1; i < 2*maxGaps+3; i += 2 {
		odd = append(odd, fmt.Sprintf("goes-%03d", i))
	}
	outcomes := map[Outcome]int{}
	for h, err := range g.Discard(g.Ctx(), g.selected(Query{IDs: odd}), DiscardOptions{}) {
		g.Must(err)
		if outcomes[h.Outcome]++; h.Outcome == Behind && !strings.Contains(h.Reason, "replay or discard those first") {
			t.Error(h.Reason)
		}
	}
	if diff := cmp.Diff(map[Outcome]int{Discarded: maxGaps, Behind: 1}, outcomes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	g.left(maxGaps + 3)
	if got := g.outcomes(g.Discard(g.Ctx(), g.selected(Query{IDs: []string{"stays-000"}}), DiscardOptions{})); got != "stays-000 discarded" {
		t.Error(got)
	}
	last := odd[len(odd)-1]
	if got := g.outcomes(g.Discard(g.Ctx(), g.selected(Query{IDs: []string{last}}), DiscardOptions{})); got != last+" discarded" {
		t.Error(got)
	}
}

// A replay that goes on with what a killed run has left is at work: another operator's discard
// leaves it alone. Else the message would be sent, and its body deleted.
func TestDiscard_WhileAnInterruptedReplayGoesOn(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letter("m-1", 1))
	g.crashing("locked", 1)
	g.replayUntilCrash(ReplayOptions{})
	const busy = 4 * time.Second
	jsapi.Sleep(g.Ctx(), busy+100*time.Millisecond)
	second, third := graveyard{g.Rig, lettersOf(g.Rig)}, graveyard{g.Rig, lettersOf(g.Rig)}
	second.busy, third.busy = busy, busy
	var discarded string
	second.fault = func(point string) error {
		if point == "locked" && discarded == "" {
			kept, err := jsapi.Leader{JS: g.JS, Stream: "KV_REDOX_LEDGER"}.Last(g.Ctx(), "$KV.REDOX_LEDGER."+lockKeys+".>")
			if err != nil || wire.First(kept.Header, jetstream.MsgTTLHeader) == "" {
				t.Errorf("a lock without an end: %v, %v", kept.Header, err)
			}
			discarded = third.outcomes(third.Discard(g.Ctx(), third.selected(Query{}), DiscardOptions{}))
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
