package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// limit gives a consumer a delivery limit, as a person with the nats CLI might.
func (r *rig) limit(consumer string, deliveries int) jetstream.Consumer {
	r.Helper()
	c, err := r.consumer(consumer)
	if err != nil {
		r.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	cfg.MaxDeliver = deliveries
	if c, err = r.js.UpdateConsumer(r.Context(), "REDOX_OUT", cfg); err != nil {
		r.Fatal(err)
	}
	return c
}

func TestGuarantee_WhatTheServerStopsDeliveringIsSettled(t *testing.T) {
	inBubble(t, func(r *rig) {
		subject, replies := r.inbox()
		id := r.publish(outbox.Message{ReplyTo: subject, Body: []byte(`{"the":"body"}`)})
		other := r.publish(outbox.Message{})
		c := r.limit(source+"-send", 2)
		for range 4 { // two deliveries of each, none acknowledged
			if _, err := c.Next(jetstream.FetchMaxWait(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		bubble.Sleep(time.Minute)
		if _, err := c.Next(jetstream.FetchMaxWait(time.Minute)); err == nil {
			t.Fatal("the server still delivers: the test shows nothing")
		}
		r.start(worker.Config{})
		for _, id := range []string{id, other} {
			if e := r.awaitSettled(id); e.Settlement != outbox.Poison || !e.PossibleDuplicate {
				t.Errorf("%s settled %s, possible duplicate %v", id, e.Settlement, e.PossibleDuplicate)
			}
		}
		if n := r.stored("REDOX_OUT"); n != 0 {
			t.Errorf("%d messages left in the queue", n)
		}
		letters := r.deadLetters()
		if len(letters) != 2 || letters[0].MessageID != id || string(letters[0].Body) != `{"the":"body"}` || !strings.Contains(letters[0].Error, source+"-send") {
			t.Errorf("dead letters %+v", letters)
		}
		r.until("the caller is told", func() bool { return len(replies()) == 1 })
		if got := replies()[0]; got.MessageID != id || got.Settlement != outbox.Poison {
			t.Errorf("reply %+v", got)
		}
		if n := len(r.far.Calls()); n != 0 {
			t.Errorf("sent %d times", n)
		}
		// What the dead letter says to do has the consumer deliver as often as it takes.
		if !strings.Contains(letters[0].Error, "nats consumer edit REDOX_OUT "+source+"-send --max-deliver=-1") {
			t.Errorf("it says %s", letters[0].Error)
		}
		r.limit(source+"-send", -1)
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n <= 5 {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		if e := r.awaitSettled(r.publish(outbox.Message{})); e.Settlement != outbox.Delivered || e.Attempt != 6 {
			t.Errorf("settled %s after %d attempts", e.Settlement, e.Attempt)
		}
	})
}

// The same in an ordered lane, whose next message then goes on.
func TestGuarantee_StoppedHeadOfAnOrderIsSettled(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.ordered("stopped", "patient")
		c := r.limit(source+"-send", 1)
		if _, err := c.Next(jetstream.FetchMaxWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		if _, err := c.Next(jetstream.FetchMaxWait(time.Minute)); err == nil {
			t.Fatal("the server still delivers: the test shows nothing")
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("stopped"); e.Settlement != outbox.Poison {
			t.Errorf("settled %s", e.Settlement)
		}
		r.ordered("next", "patient")
		if e := r.awaitSettled("next"); e.Settlement != outbox.Delivered {
			t.Errorf("the next one settled %s", e.Settlement)
		}
		if n := r.stored("REDOX_OUT"); n != 0 {
			t.Errorf("%d messages left in the queue", n)
		}
	})
}

func TestGuarantee_WhatSomebodyRemovedLeavesATrace(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.publish(outbox.Message{ID: "gone"})
		c, err := r.consumer(source + "-send")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.Term(); err != nil {
			t.Fatal(err)
		}
		kept := r.publish(outbox.Message{})
		var removed atomic.Int64
		r.start(worker.Config{Audit: func(_ context.Context, e audit.Entry) error {
			if e.Message == "REDOX_OUT:1" && e.Settlement == outbox.Poison && e.DeadLetter && e.Source == source {
				removed.Add(1)
			}
			return nil
		}})
		if e := r.awaitSettled(kept); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		r.until("a dead letter", func() bool { return r.stored("REDOX_DLQ") == 1 })
		r.until("its audit entry", func() bool { return removed.Load() > 0 })
		d := r.deadLetters()[0]
		if d.MessageID != "REDOX_OUT:1" || d.Source != source || d.Settlement != outbox.Poison || d.Sequence != 1 {
			t.Errorf("dead letter %+v", d)
		}
	})
}

// Ordinary work gives the sweeper nothing to do.
func TestGuarantee_SettledMessagesAreNotSwept(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.rejecting(func(id string) bool { return id == "bad" })
		r.start(worker.Config{})
		r.publish(outbox.Message{ID: "bad"})
		r.publish(outbox.Message{ID: "good"})
		r.ordered("ordered", "patient")
		for _, id := range []string{"bad", "good", "ordered"} {
			r.awaitSettled(id)
		}
		bubble.Sleep(10 * time.Minute)
		if a, d := r.stored("REDOX_ADVISORIES"), r.stored("REDOX_DLQ"); a != 0 || d != 1 {
			t.Errorf("%d advisories, %d dead letters; want 0 and the one rejected", a, d)
		}
	})
}
