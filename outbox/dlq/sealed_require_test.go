package dlq

import (
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// Where all must be sealed, a dead letter that is not is replayed and edited sealed, or refused where it cannot be: a worker
// would refuse it.
func TestSealed_UnsealedWhereRequired(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	ks, _ := seal.Keys{}.With(time.Now(), time.Now().Add(-time.Hour))
	ring := seal.NewRing(ks)
	g.config.RequireSeal = true
	aside := letter("aside", 3)
	g.put("clinic-a/aside", aside.Body)
	aside.Header[contract.HeaderBodyObject], aside.Body = []string{"clinic-a/aside"}, nil
	ordered := orderedLetter("ordered", goldenToken, 4)
	long := letter(strings.Repeat("y", wire.MaxID), 5)
	g.bury(letter("m-1", 1), letter("m-2", 2), aside, ordered, long)
	if got := g.replayAll(ReplayOptions{AtOnce: 1}); strings.Count(got, "refused") != 5 {
		t.Errorf("without a ring: %q", got)
	}
	if stored, err := g.Restore(g.Ctx(), letter("m-6", 6)); err == nil || stored {
		t.Error("restored in the clear")
	}
	g.config.Ring = ring
	if h, err := g.Edit(g.Ctx(), g.listed("m-2"), []byte(`{"edited":1}`), ReplayOptions{}); err != nil || h.Outcome != Replayed {
		t.Errorf("%v, %v", h, err)
	}
	if got := g.replayAll(ReplayOptions{AtOnce: 1}); got != "m-1 replayed, aside refused, ordered replayed, "+long.MessageID+" replayed" {
		t.Error(got)
	}
	want := []string{`m-2:r1 POST  {"edited":1}`, "m-1:r1 POST  " + string(letter("m-1", 1).Body), "ordered:r1 POST  " + string(ordered.Body),
		replayID(long.MessageID, 1) + " POST  " + string(long.Body)}
	if got := g.opened(ring); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("queued %q, want %q", got, want)
	}
	l := g.listed("aside")
	clear, err := l.Letter, error(nil)
	clear.Body, err = g.Body(g.Ctx(), l)
	g.Must(err)
	if got := g.discardAll(DiscardOptions{}); got != "aside discarded" {
		t.Error(got)
	}
	if stored, err := g.Restore(g.Ctx(), clear); err != nil || !stored {
		t.Errorf("%t, %v", stored, err)
	}
	if got := g.replayAll(ReplayOptions{}); got != "aside replayed" || len(g.opened(ring)) != 5 {
		t.Errorf("restored: %q", got)
	}
	g.left(0)
}
