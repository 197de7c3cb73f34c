package outbox

import "testing"

func TestSettled(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.bury(letter("delivered", 1), letter("noteless", 2), letter("again", 3), letter("waits", 4))
	by := map[string]Handled{}
	for h, err := range g.Replay(g.ctx(), g.selected(DeadQuery{}), ReplayOptions{}) {
		must(g.topologyRig, err)
		by[h.MessageID] = h
	}
	for _, m := range g.queued() {
		switch first(m.Header, HeaderReplayOf) {
		case "delivered":
			g.settle(m)
		case "noteless":
			g.remove(m.Sequence)
		case "again":
			l := letter("again:r1", m.Sequence)
			l.Settlement = Exhausted
			g.bury(l)
			g.remove(m.Sequence)
		}
	}
	for id, want := range map[string]Settlement{"delivered": Delivered, "noteless": Delivered, "again": Exhausted, "waits": ""} {
		s, ok, err := g.Settled(g.ctx(), by[id])
		if err != nil || s != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, %v; want %q", id, s, ok, err, want)
		}
	}
	unknown := Handled{Source: "clinic-a", ReplayID: "nobody:r1", Outcome: AlreadyReplayed}
	if s, ok, err := g.Settled(g.ctx(), unknown); ok || err != nil {
		t.Errorf("a replay nobody knows: %q, %v, %v", s, ok, err)
	}
}
