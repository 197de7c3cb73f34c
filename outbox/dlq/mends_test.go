package dlq

import (
	"strings"
	"testing"
)

// What the error of a damaged lock says to do works: the key is deleted, and the dead letter is
// replayed, or discarded without being sent again.
func TestReplay_ADamagedLockIsMendedAsItSays(t *testing.T) {
	t.Parallel()
	for name, discard := range map[string]bool{"replay": false, "discard": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraveyard(t)
			g.bury(letter("m-1", 1))
			kv, err := g.JS.KeyValue(g.Ctx(), "REDOX_LEDGER")
			if err != nil {
				t.Fatal(err)
			}
			key := lockKey(g.selected(Query{}).entries[0])
			if _, err := kv.Put(g.Ctx(), key, []byte("{")); err != nil {
				t.Fatal(err)
			}
			run := func() (Handled, error) {
				selection := g.selected(Query{})
				steps := g.Replay(g.Ctx(), selection, ReplayOptions{})
				if discard {
					steps = g.Discard(g.Ctx(), selection, DiscardOptions{})
				}
				for h, err := range steps {
					return h, err
				}
				return Handled{}, nil
			}
			_, err = run()
			if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "delete the key, then discard the dead letter if") {
				t.Fatalf("error %v", err)
			}
			if err := kv.Delete(g.Ctx(), key); err != nil {
				t.Fatal(err)
			}
			want, stored := Replayed, uint64(1)
			if discard {
				want, stored = Discarded, 0
			}
			if h, err := run(); err != nil || h.Outcome != want {
				t.Errorf("%v: %v", h, err)
			}
			out, err := g.JS.Stream(g.Ctx(), "REDOX_OUT")
			if err != nil {
				t.Fatal(err)
			}
			if n := out.CachedInfo().State.Msgs; n != stored {
				t.Errorf("%d messages in the queue, want %d", n, stored)
			}
		})
	}
}
