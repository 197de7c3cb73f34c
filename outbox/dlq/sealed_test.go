package dlq

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

const canary = "CANARY-4711"

// burySealed seals and buries messages with these ids; the body of those that begin with "claim" is in an object.
func (g graveyard) burySealed(ring *seal.Ring, ids ...string) {
	g.T.Helper()
	for i, id := range ids {
		m, err := outbox.Message{ID: id, Source: "clinic-a", Kind: outbox.KindFHIR, Path: "s/Production/Patient?name=" + canary, Method: "PUT", Body: []byte(`{"name":"` + canary + `"}`)}.Seal(ring, "")
		g.Must(err)
		if strings.HasPrefix(id, "claim") {
			g.put("clinic-a/"+id, m.Body)
			m.Body, m.BodyObject = nil, "clinic-a/"+id
		}
		msg, err := m.Encode("")
		g.Must(err)
		g.bury(Letter{MessageID: id, Source: "clinic-a", Settlement: outbox.Rejected, At: time.Now(), Subject: msg.Subject, Sequence: uint64(i + 1), Header: msg.Header, Body: msg.Data})
	}
}

// opened are the messages of the queue, opened: ids, paths and bodies.
func (g graveyard) opened(ring *seal.Ring) (all []string) {
	g.T.Helper()
	for _, raw := range g.Queued() {
		m, err := outbox.Decode("", outbox.Stored{Subject: raw.Subject, Header: raw.Header, Body: raw.Data, Sequence: raw.Sequence})
		g.Must(err)
		if bytes.Contains(raw.Data, []byte(canary)) || !m.Sealed() {
			g.T.Errorf("%s is not sealed", m.ID)
		}
		o, opening, err := m.Open(ring, "")
		g.Must(err)
		if m.BodyObject != "" {
			o.Body, err = g.bodies.GetOpened(g.Ctx(), m.BodyObject, -1, opening)
			g.Must(err)
		}
		all = append(all, m.ID+" "+o.Method+" "+o.Path+" "+string(o.Body))
	}
	return all
}

// A dead letter stays sealed and opens with the ring; a replay passes it on as it is, and an edit seals it anew with
// the headers that it had; what was exported in the clear comes back sealed.
func TestSealed_DeadLetters(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	ks, first := seal.Keys{}.With(time.Now(), time.Now().Add(-time.Hour))
	ring := seal.NewRing(ks)
	g.burySealed(ring, "m-1", "claim-2", "m-3", "m-4")
	for l, err := range g.List(g.Ctx(), Query{Models: true}) {
		g.Must(err)
		if _, err := g.Body(g.Ctx(), l); err == nil || l.SealedBy() != first.ID || l.DataModel != "" {
			t.Errorf("without a ring: %v, %q, %v", l, l.SealedBy(), err)
		}
	}
	g.config.Ring = ring
	for _, id := range []string{"m-1", "claim-2"} {
		l := g.listed(id)
		body, err := g.Body(g.Ctx(), l)
		h, headerErr := g.Header(g.Ctx(), l)
		if err != nil || headerErr != nil || !bytes.Contains(body, []byte(canary)) || !strings.Contains(h.Get(contract.HeaderPath), canary) || h.Get(contract.HeaderMethod) != "PUT" || h.Get(contract.HeaderSealed) != "" {
			t.Errorf("%s: %s, %v, %v, %v", id, body, h, err, headerErr)
		}
		if kept, err := g.Kept(g.Ctx(), l); err != nil || bytes.Contains(kept, []byte(canary)) {
			t.Errorf("%s is kept open: %v", id, err)
		}
	}
	l := g.listed("m-3")
	h, err := g.Edit(g.Ctx(), l, []byte(`{"edited":"`+canary+`"}`), ReplayOptions{})
	if err != nil || h.Outcome != Replayed {
		t.Fatalf("%v, %v", h, err)
	}
	l = g.listed("m-4")
	body, err := g.Body(g.Ctx(), l)
	g.Must(err)
	clear := l.Letter
	clear.Header, err = g.Header(g.Ctx(), l)
	g.Must(err)
	clear.Body = body
	if got := g.outcomes(g.Discard(g.Ctx(), g.selected(Query{IDs: []string{"m-4"}}), DiscardOptions{})); got != "m-4 discarded" {
		t.Error(got)
	}
	if stored, err := g.Restore(g.Ctx(), clear); err != nil || !stored {
		t.Fatalf("%t, %v", stored, err)
	}
	if l := g.listed("m-4"); !l.Sealed() || bytes.Contains(l.Body, []byte(canary)) || l.Header.Get(contract.HeaderPath) != "" {
		t.Errorf("restored in the clear: %v", l.Header)
	}
	if got := g.outcomes(g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{AtOnce: 1})); got != "m-1 replayed, claim-2 replayed, m-4 replayed" {
		t.Error(got)
	}
	path, was := "PUT s/Production/Patient?name="+canary+" ", `{"name":"`+canary+`"}`
	want := []string{"m-3:r1 " + path + `{"edited":"` + canary + `"}`, "m-1:r1 " + path + was, "claim-2:r1 " + path + was, "m-4:r1 " + path + was}
	if got := g.opened(ring); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("queued %q, want %q", got, want)
	}
}

// A rewrap that is cut off in the middle leaves one message: a replay sends it once, and another rewrap ends it.
func TestSealed_Rewrap(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.busy = time.Millisecond
	now := time.Now()
	ks, _ := seal.Keys{}.With(now, now.Add(-2*time.Hour))
	old := seal.NewRing(ks)
	g.burySealed(old, "m-1", "claim-2", "m-3")
	ks, second := ks.With(now, now.Add(-time.Hour))
	g.config.Ring = seal.NewRing(ks)
	rewrap := func(id string) (done bool, err error) {
		t.Helper()
		for l, err := range g.List(g.Ctx(), Query{IDs: []string{id}}) {
			g.Must(err)
			if done, err = g.Rewrap(g.Ctx(), l); err != nil {
				return done, err
			}
		}
		return done, nil
	}
	count := func(want int) {
		t.Helper()
		n := 0
		for _, err := range g.List(g.Ctx(), Query{}) {
			g.Must(err)
			n++
		}
		if n != want {
			t.Errorf("%d dead letters, not %d", n, want)
		}
	}
	g.fault = func(point string) error {
		if point == "rewritten" {
			return errCrash
		}
		return nil
	}
	for _, id := range []string{"m-1", "m-3"} {
		if _, err := rewrap(id); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
	}
	count(5)
	g.fault = nil
	if _, err := rewrap("m-3"); err != nil {
		t.Fatal(err)
	}
	if done, err := rewrap("claim-2"); err != nil || !done {
		t.Errorf("%t, %v", done, err)
	}
	count(4)
	for l, err := range g.List(g.Ctx(), Query{IDs: []string{"claim-2", "m-3"}}) {
		if err != nil || l.SealedBy() != second.ID {
			t.Errorf("%s: sealed by %s, not %s: %v", l.MessageID, l.SealedBy(), second.ID, err)
		}
	}
	ks, err := ks.Shred(ks.List()[0].ID, now)
	g.Must(err)
	g.config.Ring = seal.NewRing(ks)
	if got := g.outcomes(g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{AtOnce: 1})); strings.Count(got, "replayed") != 3 {
		t.Error(got)
	}
	if got := g.opened(g.config.Ring); len(got) != 3 {
		t.Errorf("queued %q", got)
	}
	g.left(0)
}

// A replay that died, and whose dead letter has a time behind its id, is replayed once more: it goes back to the first
// message, beside whose id it was sealed.
func TestSealed_AReplayWhoseIDHasATime(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	ks, _ := seal.Keys{}.With(time.Now(), time.Now().Add(-time.Hour))
	ring := seal.NewRing(ks)
	g.burySealed(ring, "m-1")
	found, err := g.Get(g.Ctx(), "clinic-a", "m-1")
	g.Must(err)
	died := found[0].Letter
	g.discardAll(DiscardOptions{})
	died.MessageID += ":r1@2026-11-30T12:00:00.5Z"
	died.Header[contract.HeaderReplayOf], died.Header[contract.HeaderReplayCount] = []string{"m-1"}, []string{"1"}
	g.bury(died)
	if got := g.replayAll(ReplayOptions{}); got != died.MessageID+" replayed" {
		t.Fatal(got)
	}
	if got := g.opened(ring); len(got) != 1 || !strings.HasPrefix(got[0], "m-1:r2 PUT ") {
		t.Errorf("queued %q", got)
	}
}
