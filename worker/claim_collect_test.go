package worker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// replayClaims sends every dead letter again, as a dlq.Store does: the object is
// touched, the message published, and at last the dead letter deleted. It pauses in between.
func (r *rig) replayClaims(ctx context.Context, pause func()) error {
	s, err := r.js.Stream(ctx, "REDOX_DLQ")
	if err != nil {
		return err
	}
	for seq := max(1, s.CachedInfo().State.FirstSeq); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		object := msg.Header.Get(contract.HeaderBodyObject)
		if err := outbox.NewBodies(r.js, "").Touch(ctx, object); err != nil {
			return fmt.Errorf("touch: %w", err)
		}
		pause()
		again := &nats.Msg{Subject: "redox.out." + source + ".send", Header: nats.Header{
			contract.HeaderID: {outbox.NewID()}, contract.HeaderBodyObject: {object}, contract.HeaderReplayOf: {msg.Header.Get(contract.HeaderMessageID)}}}
		if _, err := r.js.PublishMsg(ctx, again); err != nil {
			return err
		}
		pause()
		if err := s.DeleteMsg(ctx, seq); err != nil {
			return err
		}
	}
	return nil
}

// Bodies are collected all the time while messages that name them are published late,
// wait, are dead-lettered and replayed: each is delivered with its body in the end, and
// nothing is left in the object store but what was orphaned, which goes.
func TestRun_NothingThatIsNamedIsCollected(t *testing.T) {
	for seed := range uint64(1) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			inBubble(t, func(r *rig) { collectUnderFire(r, rand.New(rand.NewPCG(seed, seed))) })
		})
	}
}

func collectUnderFire(r *rig, random *rand.Rand) {
	var mu sync.Mutex
	delivered := map[string]int{}
	draw := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
	// Everything happens at a full five minutes, and so much of it at once.
	nap := func(most time.Duration) { bubble.Sleep(time.Duration(draw(int(most))).Truncate(5 * time.Minute)) }
	r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
		nap(7 * time.Minute)
		switch draw(4) {
		case 0:
			return outbox.Answer{Status: 400}, worker.Permanent(errors.New("no"))
		case 1:
			return outbox.Answer{Status: 503}, errors.New("not now")
		}
		mu.Lock()
		defer mu.Unlock()
		delivered[string(m.Body)]++
		return outbox.Answer{Status: 200}, nil
	}
	const messages = 25
	want := map[string]int{}
	ctx, cancel := context.WithCancel(r.Context())
	var publishing, running sync.WaitGroup
	for i := range messages {
		body := fmt.Sprint("body ", i)
		want[body] = 1
		publishing.Go(func() {
			nap(2 * time.Hour)
			object := r.put([]byte(body))
			nap(50 * time.Minute) // within the least age of an orphan
			r.naming(outbox.Message{}, object)
		})
		publishing.Go(func() {
			nap(2 * time.Hour)
			r.put([]byte("of a publisher that died"))
		})
	}
	for range 2 { // two workers that collect
		r.start(worker.Config{Retry: worker.Retry{Initial: 20 * time.Minute, Max: time.Hour, MaxAge: -1}})
		running.Go(func() { r.collectOnAndOn(ctx) })
	}
	running.Go(func() {
		for ctx.Err() == nil {
			if err := r.replayClaims(ctx, func() { nap(8 * time.Minute) }); err != nil && ctx.Err() == nil {
				r.Errorf("replay: %v", err)
			}
			nap(20 * time.Minute)
		}
	})
	publishing.Wait()
	all := func() bool { mu.Lock(); defer mu.Unlock(); return len(delivered) == messages }
	for n := 0; !all() && n < 1000; n++ {
		bubble.Sleep(10 * time.Minute)
	}
	bubble.Sleep(2 * outbox.LeastOrphanAge)
	cancel()
	running.Wait()
	if !maps.Equal(delivered, want) {
		r.Errorf("delivered %v, want each once", delivered)
	}
	if n := r.stored("OBJ_REDOX_BODIES"); n != 0 {
		r.Errorf("%d messages are left in the object store", n)
	}
}

// collectOnAndOn removes orphans every five minutes until ctx ends.
func (r *rig) collectOnAndOn(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := outbox.NewBodies(r.js, "").Collect(ctx, outbox.LeastOrphanAge); err != nil && ctx.Err() == nil {
			r.Errorf("collect: %v", err)
		}
		bubble.Sleep(5 * time.Minute)
	}
}
