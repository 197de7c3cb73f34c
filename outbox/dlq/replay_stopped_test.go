package dlq

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

func TestReplay_Interrupted(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(40)
	ctx, cancel := context.WithCancelCause(g.Ctx())
	defer cancel(nil)
	n, ended := 0, error(nil)
	for _, err := range g.Replay(ctx, g.selected(Query{}), ReplayOptions{AtOnce: 4}) {
		if err != nil {
			ended = err
			continue
		}
		if n++; n == 10 {
			cancel(errCrash)
		}
	}
	if !errors.Is(ended, errCrash) || n < 10 || n > 16 {
		t.Errorf("%d replayed, then %v", n, ended)
	}
	g.left(uint64(40 - n))
	if got := len(g.Queued()); got != n {
		t.Errorf("%d published, %d reported", got, n)
	}
	head, rest := g.selected(Query{}).Split(5)
	if head.Len() != 5 || rest.Len() != 35-n {
		t.Errorf("split into %d and %d", head.Len(), rest.Len())
	}
	for range g.Replay(g.Ctx(), head, ReplayOptions{}) {
		break
	}
	g.replayAll(ReplayOptions{})
	g.left(0)
	if got := len(g.Queued()); got != 40 {
		t.Errorf("%d published", got)
	}
}

func TestReplay_Pace(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(5)
	var mu sync.Mutex
	calls := 0
	pace := func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls > 3 {
			return errCrash
		}
		return nil
	}
	if got := g.replayUntilCrash(ReplayOptions{AtOnce: 1, Pace: pace}); got != "m-000 replayed, m-001 replayed, m-002 replayed" {
		t.Error(got)
	}
	g.left(2)
}

// A full queue ends the run; nothing is lost and the next one goes on.
func TestReplay_QueueFull(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(4)
	g.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 })
	n, ended := 0, error(nil)
	for _, err := range g.Replay(g.Ctx(), g.selected(Query{}), ReplayOptions{AtOnce: 1}) {
		if err != nil {
			ended = err
			break
		}
		n++
	}
	if n != 2 || !errors.Is(ended, outbox.ErrQueueFull) {
		t.Errorf("%d, then %v", n, ended)
	}
	g.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })
	g.replayAll(ReplayOptions{})
	ids := strings.Fields(g.queuedIDs())
	slices.Sort(ids)
	if got := strings.Join(ids, " "); got != "m-000:r1 m-001:r1 m-002:r1 m-003:r1" {
		t.Errorf("queued %s", got)
	}
	g.left(0)
}

// A stopped run that wakes up after another has done its work.
func TestReplay_StoppedBetweenLockAndPublish(t *testing.T) {
	t.Parallel()
	g := newGraveyard(t)
	g.buryMany(1)
	second := graveyard{g.Rig, lettersOf(g.Rig)}
	g.fault = func(point string) error {
		if point == "locked" {
			g.fault = nil
			if got := second.replayAll(ReplayOptions{}); got != "m-000 replayed" {
				t.Errorf("the other run: %s", got)
			}
		}
		return nil
	}
	if got := g.replayAll(ReplayOptions{}); got != "m-000 already replayed" {
		t.Error(got)
	}
	if got := g.queuedIDs(); got != "m-000:r1" {
		t.Errorf("queued %s", got)
	}
	g.left(0)
	stale := lock{read: time.Now().Add(-lockFresh)}
	if stale.fresh() {
		t.Error("a lock of long ago is acted upon")
	}
}
