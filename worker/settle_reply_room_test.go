package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// fillReplies leaves no room for replies until the returned function is called.
func (r *rig) fillReplies() (mend func()) {
	r.Helper()
	r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	_, err := r.js.Publish(r.Context(), "redox.reply.other.x", nil)
	r.must(err)
	return func() { r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 }) }
}

func replyTo(i int) string { return fmt.Sprintf("redox.reply.%s.%d", source, i) }

// Messages that are given up, or break the contract, while their replies cannot be stored take
// no slots from those that need no reply.
func TestReplies_WhatIsGivenUpHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		mend := r.fillReplies()
		r.start(worker.Config{Concurrency: 2})
		first := r.publish(outbox.Message{ReplyTo: replyTo(0)})
		bubble.Sleep(10 * time.Second)
		var expired, poison []string
		broken := func(id string, to string) string {
			_, err := r.js.PublishMsg(r.Context(), &nats.Msg{Subject: "redox.out." + source + ".send", Data: []byte("{}"), Header: nats.Header{
				contract.HeaderMessageID: {id}, contract.HeaderKind: {"nonsense"}, contract.HeaderReplyTo: {to}}})
			r.must(err)
			return id
		}
		for i := range 10 {
			expired = append(expired, r.publish(outbox.Message{Lane: contract.LaneRequest, ReplyTo: replyTo(100 + i)}),
				r.publish(outbox.Message{Deadline: time.Now().Add(time.Minute), ReplyTo: replyTo(200 + i)}))
			poison = append(poison, broken(fmt.Sprint("broken", i), replyTo(300+i)))
		}
		bubble.Sleep(10 * time.Minute)
		plain := r.publish(outbox.Message{})
		for start := time.Now(); time.Since(start) < time.Minute; bubble.Sleep(time.Second) {
			if _, ok := r.settled(plain); ok {
				break
			}
		}
		if _, ok := r.settled(plain); !ok {
			t.Error("a message that needs no reply waits for others' replies")
		}
		mend()
		r.awaitSettled(first)
		for settlement, ids := range map[outbox.Settlement][]string{outbox.Expired: expired, outbox.Poison: poison} {
			for _, id := range ids {
				if e := r.awaitSettled(id); e.Settlement != settlement || len(r.far.Of(id)) != 0 {
					t.Errorf("settled %s after %d requests, want %s unsent: %s", e.Settlement, len(r.far.Of(id)), settlement, e.Error)
				}
			}
		}
		if n := r.records(); n != len(expired) {
			t.Errorf("the ledger knows %d messages, want %d: those that keep the contract", n, len(expired))
		}
		if n := r.stored("REDOX_REPLIES"); n < 31 || n > 32 { // with what filled it, or without
			t.Errorf("%d replies are stored, want 31", n)
		}
	})
}

// What the ledger knows of a message outlives a wait in which it was not sent: one that may
// have been sent is held, one that kills its workers is poison.
func TestReplies_AWaitForgetsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		record  map[string]any
		sources []worker.Source
		want    outbox.Settlement
	}{
		"intent":  {map[string]any{"started": 1, "intent": true}, holding, outbox.Held},
		"suspect": {map[string]any{"started": 7, "alone": 5}, nil, outbox.Poison},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				id := r.publish(outbox.Message{ReplyTo: replyTo(1)})
				r.lose()
				r.note(id, 1, c.record)
				mend := r.fillReplies()
				stop := r.start(worker.Config{Sources: c.sources})
				first := r.publish(outbox.Message{ReplyTo: replyTo(2)})
				bubble.Sleep(5 * time.Minute)
				stop()
				mend()
				r.start(worker.Config{Sources: c.sources})
				if e := r.awaitSettled(id); e.Settlement != c.want || len(r.far.Of(id)) != 0 {
					t.Errorf("settled %s after %d requests, want %s unsent: %s", e.Settlement, len(r.far.Of(id)), c.want, e.Error)
				}
				r.awaitSettled(first)
			})
		})
	}
}

// A message that proves that a pause is over, and whose reply cannot be stored, does not keep
// its source from going on.
func TestReplies_AProbeHoldsNobodyUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		down := true
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if down {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		probe := r.publish(outbox.Message{ReplyTo: replyTo(1)})
		r.until("it waits", func() bool { return len(r.all(worker.EventWait)) > 0 })
		mend := r.fillReplies()
		down = false
		r.until("the probe is sent", func() bool { return len(r.far.Of(probe)) > 1 })
		bubble.Sleep(time.Minute)
		plain := r.publish(outbox.Message{})
		bubble.Sleep(time.Minute)
		if _, ok := r.settled(plain); !ok {
			t.Error("a message that needs no reply waits for another's")
		}
		mend()
		r.awaitSettled(probe)
	})
}
