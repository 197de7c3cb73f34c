package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// The tests of this file are named after the guarantees of the worker: nothing lost, at
// least once, order, nothing fails because of us, one owner of retries, deaths, shutdown.

func TestGuarantee_OrderAcrossWorkersAndRetries(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			bubble.Sleep(50 * time.Millisecond)
			if n == 1 && m.Sequence%3 == 0 {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{ID: "one"})
		r.start(worker.Config{ID: "two"})
		const keys, each = 5, 12
		for i := range each {
			for k := range keys {
				r.ordered(fmt.Sprintf("%d-%02d", k, i), fmt.Sprintf("patient %d", k))
			}
		}
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == keys*each })
		last := map[string]string{}
		end := map[string]time.Time{}
		for _, c := range r.far.Calls() {
			key := c.ID[:1]
			if c.Start.Before(end[key]) {
				t.Errorf("%s was sent before its predecessor's attempt had ended", c.ID)
			}
			if c.ID < last[key] {
				t.Errorf("%s was sent after %s", c.ID, last[key])
			}
			last[key], end[key] = c.ID, c.End
		}
		if len(last) != keys {
			t.Errorf("calls for %d keys, want %d", len(last), keys)
		}
	})
}

func TestGuarantee_NoAttemptIsCountedWhileNoTokenCanBeHad(t *testing.T) {
	inBubble(t, func(r *rig) {
		var down = true
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if down && m.Source == source {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Retry: worker.Retry{MaxAttempts: 1}, Sources: []worker.Source{
			{Name: source, Scopes: []string{"key:main"}}, {Name: "clinic-b", Scopes: []string{"key:other"}}}})
		for i := range 200 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		bubble.Sleep(5 * time.Minute)
		if n := len(r.all(worker.EventSettled)); n != 0 {
			t.Fatalf("%d messages settled without a token", n)
		}
		// 64 at once, then one probe at 2, 6, 14, 30, 62, 122 s …
		if n := len(r.far.Calls()); n > 64+12 {
			t.Errorf("%d tries in five minutes: a paused source goes on pulling", n)
		}
		r.publish(outbox.Message{ID: "other", Source: "clinic-b"})
		r.awaitSettled("other")
		down = false
		r.until("all delivered", func() bool { return len(r.all(worker.EventSettled)) == 201 })
		for _, e := range r.all(worker.EventSettled) {
			if e.Settlement != outbox.Delivered || e.Attempt != 1 {
				t.Errorf("%s: %s with %d attempts, want delivered with 1", e.MessageID, e.Settlement, e.Attempt)
			}
		}
	})
}

func TestGuarantee_UnattemptedMessagesDoNotGrowTooOld(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if time.Since(start) < 30*time.Minute {
				return outbox.Answer{}, worker.NotAttempted(errFar, "host:far")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Retry: worker.Retry{MaxAge: 15 * time.Minute}})
		id := r.publish(outbox.Message{})
		bubble.Sleep(30 * time.Minute)
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s: a message failed because of us", e.Settlement)
		}
	})
}

func TestGuarantee_LongAttemptsKeepTheirLease(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(2 * time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{ID: "one"})
		r.start(worker.Config{ID: "two"})
		id := r.publish(outbox.Message{})
		r.ordered("in-order", "patient")
		r.awaitSettled(id)
		r.awaitSettled("in-order")
		for _, id := range []string{id, "in-order"} {
			if n := len(r.far.Of(id)); n != 1 {
				t.Errorf("%s was sent %d times within its ack wait of 30s, want once", id, n)
			}
		}
	})
}

func TestGuarantee_ShutdownLetsAttemptsFinish(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(20 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{Concurrency: 4})
		for i := range 10 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		r.until("four in flight", func() bool { return len(r.far.Calls()) == 4 })
		start := time.Now()
		stop()
		if took := time.Since(start); took < 15*time.Second || took > 25*time.Second {
			t.Errorf("shutdown took %v, want until the attempts had ended", took)
		}
		if n := len(r.all(worker.EventSettled)); n != 4 {
			t.Errorf("%d settled, want the 4 in flight", n)
		}
		// What was buffered is free for others at once, not after the ack wait.
		r.far.Answer = nil
		r.start(worker.Config{})
		again := time.Now()
		r.until("the rest settled", func() bool { return len(r.all(worker.EventSettled)) == 10 })
		if took := time.Since(again); took > 2*time.Second {
			t.Errorf("the next worker got the rest after %v", took)
		}
		if n := len(r.far.Calls()); n != 10 {
			t.Errorf("%d calls for 10 messages", n)
		}
	})
}

func TestRun_DrainTimeoutHandsBackInFlight(t *testing.T) {
	inBubble(t, func(r *rig) {
		hang := true
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			if hang {
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), worker.ErrDrainTimeout) {
					t.Errorf("cause %v", context.Cause(ctx))
				}
				return outbox.Answer{}, worker.UnknownOutcome(ctx.Err())
			}
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{DrainTimeout: 3 * time.Second})
		id := r.publish(outbox.Message{})
		r.until("in flight", func() bool { return len(r.far.Calls()) == 1 })
		start := time.Now()
		stop()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("shutdown took %v", took)
		}
		hang = false
		r.start(worker.Config{})
		e := r.awaitSettled(id)
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("the next worker got the message after %v, want at once", took)
		}
		if e.Attempt != 2 || !e.PossibleDuplicate {
			t.Errorf("attempt %d, possible duplicate %v: the hand-back must leave its trace", e.Attempt, e.PossibleDuplicate)
		}
	})
}

// note writes a ledger record as a worker that died would have left it.
func (r *rig) note(id string, sequence uint64, record map[string]any) {
	r.Helper()
	data, err := json.Marshal(record)
	if err != nil {
		r.Fatal(err)
	}
	subject := "$KV.REDOX_LEDGER." + source + "." + contract.Prefix("").DeadToken(id, sequence)
	if _, err := r.js.Publish(r.Context(), subject, data, jetstream.WithMsgTTL(time.Hour)); err != nil {
		r.Fatal(err)
	}
}

// lose takes a message as a worker that is killed right after.
func (r *rig) lose() {
	r.Helper()
	c, err := r.consumer(source + "-send")
	if err != nil {
		r.Fatal(err)
	}
	if _, err := c.Next(); err != nil {
		r.Fatal(err)
	}
}

func TestGuarantee_MessagesThatKillWorkersBecomePoison(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.publish(outbox.Message{})
		r.lose()
		r.note(id, 1, map[string]any{"started": 7, "alone": 5})
		r.start(worker.Config{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Poison || len(r.far.Calls()) != 0 {
			t.Errorf("settled %s after %d calls, want poison unsent", e.Settlement, len(r.far.Calls()))
		}
	})
}

func TestGuarantee_ADeathIsNotPoison(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.publish(outbox.Message{})
		r.lose()
		r.start(worker.Config{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
	})
}

func TestGuarantee_ResendSaysThatItMayBeADuplicate(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{}, worker.UnknownOutcome(errFar)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		e := r.awaitSettled(r.publish(outbox.Message{}))
		if e.Settlement != outbox.Delivered || e.Attempt != 2 || !e.PossibleDuplicate {
			t.Errorf("settled %s after %d attempts, possible duplicate: %v", e.Settlement, e.Attempt, e.PossibleDuplicate)
		}
	})
}

func TestGuarantee_BrokenContractIsPoisonAndUnsent(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start(worker.Config{})
		for _, replyTo := range []string{"$JS.API.STREAM.DELETE.REDOX_OUT", "redox.out.clinic-a.send", "redox.reply.clinic-b.x", "other.subject"} {
			r.publish(outbox.Message{ID: "reply-" + replyTo, ReplyTo: replyTo})
		}
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == 4 })
		synctest.Wait()
		if n := len(r.far.Calls()); n != 0 {
			t.Errorf("%d of them were sent", n)
		}
		for _, d := range r.deadLetters() {
			if d.Settlement != outbox.Poison || d.Error == "" {
				t.Errorf("dead letter %+v", d)
			}
		}
		if n := r.stored("REDOX_DLQ"); n != 4 {
			t.Errorf("%d dead letters, want 4", n)
		}
	})
}

func TestRun_SlowSourceLeavesRoomForOthers(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == source {
				bubble.Sleep(2 * time.Minute)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Concurrency: 8, Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		for i := range 50 {
			r.publish(outbox.Message{ID: fmt.Sprint("slow", i)})
		}
		r.until("the slow source takes all it may", func() bool { return r.far.Peak() >= 6 })
		quick := r.publish(outbox.Message{Source: "clinic-b"})
		if e := r.awaitSettled(quick); e.Duration > time.Second {
			t.Errorf("a message of another source waited %v", e.Duration)
		}
		if r.far.Peak() > 12 {
			t.Errorf("%d calls at one time, the limit is half as many again as 8", r.far.Peak())
		}
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == 51 })
		for i := range 50 {
			if n := len(r.far.Of(fmt.Sprint("slow", i))); n != 1 {
				t.Errorf("slow%d was sent %d times", i, n)
			}
		}
	})
}

// A deliverer that ends its goroutine loses no message.
func TestGuarantee_GoexitLosesNoMessage(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				runtime.Goexit()
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || len(r.far.Of(id)) != 2 {
			t.Errorf("settled %s after %d calls", e.Settlement, len(r.far.Of(id)))
		}
	})
}
