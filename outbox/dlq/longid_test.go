package dlq

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// An id of any length that a worker takes can be replayed, as often as it takes, under ids
// that a worker takes, and each names the first message.
func TestDeadLetter_ReplayOfLongIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for length := 240; length <= wire.MaxID+40; length++ { // where two messages have an id, a dead letter's has a time behind it
		id := strings.Repeat("y", length)
		d := letter(id, 1)
		first := id
		if length > wire.MaxID {
			first = shortID(id)
		}
		for want := 1; want <= 1001; want++ {
			next, n := d.ReplayID()
			r, err := d.replay("", next, n, buriedAt)
			if err != nil || n != want {
				t.Fatalf("%d bytes, replay %d: number %d, %v", length, want, n, err)
			}
			m, err := outbox.Decode("", outbox.Stored{Subject: r.msg.Subject, Header: r.msg.Header, Body: r.msg.Data, Sequence: 100})
			if err != nil || m.ID != next || m.ReplayOf != first || m.ReplayCount != n {
				t.Fatalf("%d bytes, replay %d: %s of %s, number %d, %v", length, want, m.ID, m.ReplayOf, m.ReplayCount, err)
			}
			if other, taken := seen[next]; taken {
				t.Fatalf("ids of %d and of %d bytes have a replay %s", other, length, next)
			}
			seen[next] = length
			d.MessageID, d.Header = next, r.msg.Header
			if d.replayOf() != first {
				t.Fatalf("%d bytes: the dead letter of replay %d goes back to %q", length, n, d.replayOf())
			}
		}
	}
	a, b := strings.Repeat("y", 255)+"a", strings.Repeat("y", 255)+"b"
	if replayID(a, 1) == replayID(b, 1) || replayID(a, 1) != replayID(strings.Clone(a), 1) || !strings.HasPrefix(replayID(a, 12), strings.Repeat("y", 214)+"~") {
		t.Errorf("%s and %s", replayID(a, 1), replayID(b, 1))
	}
}

// A long id is replayed, fails again, and is found and replayed once more by the id that its
// application knows, also after a run that was killed in between.
func TestReplay_LongID(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"locked", "published", "deleted"} {
		g := newGraveyard(t)
		id := strings.Repeat("y", wire.MaxID)
		mine := Query{IDs: []string{id}}
		g.bury(letter(id, 1), letter(id[:wire.MaxID-1]+"x", 2)) // one that begins alike stays where it is
		g.crashing(point, 1)
		g.replayUntilCrash(ReplayOptions{AtOnce: 1})
		g.fault = nil
		for n := 1; n <= 2; n++ {
			if n == 2 || point != "deleted" {
				s := g.selected(mine)
				if s.Len() != 1 || len(s.Missing(mine.IDs)) != 0 {
					t.Fatalf("%s, replay %d: %d dead letters, missing %q", point, n, s.Len(), s.Missing(mine.IDs))
				}
				g.outcomes(g.Replay(g.Ctx(), s, ReplayOptions{}))
			}
			queued := g.Queued()
			if len(queued) != 1 {
				t.Fatalf("%s, replay %d: %d messages", point, n, len(queued))
			}
			m, err := outbox.Decode("", outbox.Stored{Subject: queued[0].Subject, Header: queued[0].Header, Body: queued[0].Data, Sequence: queued[0].Sequence})
			if err != nil || m.ID != replayID(id, n) || m.ReplayOf != id || m.ReplayCount != n {
				t.Errorf("%s, replay %d: %+v, %v", point, n, m, err)
			}
			again := letter(m.ID, m.Sequence)
			again.Header = queued[0].Header
			g.remove(m.Sequence)
			g.bury(again)
			if found, err := g.Get(g.Ctx(), "clinic-a", id); err != nil || len(found) != 1 || found[0].MessageID != m.ID {
				t.Errorf("%s, replay %d: %d dead letters, %v", point, n, len(found), err)
			}
		}
		if n := g.selected(Query{}).Len(); n != 2 {
			t.Errorf("%s: %d dead letters are left", point, n)
		}
	}
}
