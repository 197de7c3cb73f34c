package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Bodies wait for room, longer than a lease lasts, and come through at their first delivery.
func TestRun_ClaimsWaitForMemory(t *testing.T) {
	inBubble(t, func(r *rig) {
		var inMemory, most int
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			bubble.Sleep(time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		var ids []string
		for range 8 {
			id, _ := r.claimed(outbox.Message{}, large(1<<20))
			ids = append(ids, id)
		}
		huge, _ := r.claimed(outbox.Message{}, large(5<<20)) // goes alone
		r.start(worker.Config{Concurrency: 16, MaxClaimMemory: 4 << 20})
		for _, id := range append(ids, huge) {
			if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || e.Delivered != 1 || e.Attempt != 1 {
				t.Errorf("%+v", e)
			}
		}
		for _, c := range r.far.Calls() {
			inMemory = 0
			for _, other := range r.far.Calls() {
				if !other.Start.After(c.Start) && other.End.After(c.Start) {
					inMemory += len(other.Body)
				}
			}
			most = max(most, inMemory)
		}
		if r.far.Peak() != 3 || most > 5<<20 {
			t.Errorf("%d at a time, %d bytes in memory", r.far.Peak(), most)
		}
	})
}

// A worker that stops finishes what is being sent, and hands back at once what waits for room.
func TestRun_ClaimThatWaitsIsHandedBackAtShutdown(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		first, _ := r.claimed(outbox.Message{}, large(1<<20))
		second, _ := r.claimed(outbox.Message{}, large(1<<20))
		stop := r.start(worker.Config{MaxClaimMemory: 1 << 20, DrainTimeout: 10 * time.Minute})
		r.until("the first is sent", func() bool { return len(r.far.Calls()) == 1 })
		if r.far.Calls()[0].ID != first {
			first, second = second, first
		}
		bubble.Sleep(time.Second)
		stop()
		if _, ok := r.settled(first); !ok || len(r.far.Of(second)) != 0 {
			t.Errorf("the first is settled: %v; the second was sent %d times", ok, len(r.far.Of(second)))
		}
		r.start(worker.Config{})
		if e := r.awaitSettled(second); e.Settlement != outbox.Delivered || e.Attempt != 1 || e.PossibleDuplicate {
			t.Errorf("%+v", e)
		}
	})
}

// The deadline passes while the body waits for room.
func TestRun_ClaimWhoseDeadlinePassesWhileItWaits(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(2 * time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		first, _ := r.claimed(outbox.Message{}, large(1<<20))
		r.start(worker.Config{MaxClaimMemory: 1 << 20})
		r.until("the first is sent", func() bool { return len(r.far.Calls()) == 1 })
		late, _ := r.claimed(outbox.Message{Deadline: time.Now().Add(time.Minute)}, large(1<<20))
		r.awaitSettled(first)
		if e := r.awaitSettled(late); e.Settlement != outbox.Expired || len(r.far.Of(late)) != 0 {
			t.Errorf("settled %s: %s, sent %d times", e.Settlement, e.Error, len(r.far.Of(late)))
		}
	})
}

// One source's large bodies, whose far side hangs, leave room for another's.
func TestRun_LargeBodiesOfOneSourceKeepNobodyWaiting(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == source {
				bubble.Sleep(150 * time.Second)
			}
			return outbox.Answer{Status: 200}, nil
		}
		for range 12 {
			r.claimed(outbox.Message{}, large(1<<20))
		}
		r.start(worker.Config{MaxClaimMemory: 8 << 20, Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		bubble.Sleep(10 * time.Second)
		object := contract.BodyName("clinic-b", "x")
		r.must(outbox.NewBodies(r.js, "").Put(r.Context(), object, large(1<<20)))
		r.naming(outbox.Message{ID: "other", Source: "clinic-b"}, object)
		bubble.Sleep(time.Second)
		if _, ok := r.settled("other"); !ok {
			t.Errorf("another source's body waits for room behind %d", r.far.Peak())
		}
		if n := r.far.Peak(); n != 7 {
			t.Errorf("%d bodies of 8 at a time, want six of one source and one of another", n)
		}
	})
}
