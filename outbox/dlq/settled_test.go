package dlq

import (
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestSettled(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letter("delivered", 1), letter("noteless", 2), letter("again", 3), letter("waits", 4))
	by := map[string]Handled{}
	for h, err := range g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{}) {
		g.Must(err)
		by[h.MessageID] = h
	}
	for _, m := range g.Queued() {
		switch wire.First(m.Header, contract.HeaderReplayOf) {
		case "delivered":
			g.settle(m)
		case "noteless":
			g.remove(m.Sequence)
		case "again":
			l := letter("again:r1", m.Sequence)
			l.Settlement = outbox.Exhausted
			g.bury(l)
			g.remove(m.Sequence)
		}
	}
	for id, want := range map[string]outbox.Settlement{"delivered": outbox.Delivered, "noteless": outbox.Delivered, "again": outbox.Exhausted, "waits": ""} {
		s, ok, err := g.Settled(g.Ctx(), by[id])
		if err != nil || s != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, %v; want %q", id, s, ok, err, want)
		}
	}
	unknown := Handled{Source: "clinic-a", ReplayID: "nobody:r1", Outcome: AlreadyReplayed}
	if s, ok, err := g.Settled(g.Ctx(), unknown); ok || err != nil {
		t.Errorf("a replay nobody knows: %q, %v, %v", s, ok, err)
	}
}
