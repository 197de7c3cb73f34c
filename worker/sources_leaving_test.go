package worker_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What was handed back before its source left and came again is sent when its time has come.
func TestSetSources_OneThatComesAgainHasItsRetriesInTime(t *testing.T) {
	inBubble(t, func(r *rig) {
		const later = 2 * time.Minute
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{Status: 400}, worker.RetryAfter(errFar, later)
			}
			return outbox.Answer{Status: 200}, nil
		}
		w, _ := r.launch(worker.Config{})
		id := r.publish(outbox.Message{})
		r.until("tried once", func() bool { return len(r.all(worker.EventRetry)) == 1 })
		r.must(w.SetSources(nil))
		bubble.Sleep(time.Second)
		r.must(w.SetSources([]worker.Source{{Name: source}}))
		r.awaitSettled(id)
		if calls := r.far.Of(id); len(calls) != 2 || calls[1].Start.Sub(calls[0].End) > later+time.Second {
			t.Errorf("sent at %s", seconds(calls))
		}
	})
}

// A message that comes when its source has left is handed back, and nothing of the source is
// pulled for it.
func TestSetSources_WhatComesLateIsNotSent(t *testing.T) {
	inBubble(t, func(r *rig) {
		pulls, err := r.js.Conn().SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.REDOX_OUT." + source + "-send")
		r.must(err)
		w, _ := r.launch(worker.Config{})
		r.awaitSettled(r.publish(outbox.Message{}))
		pull, err := pulls.NextMsg(time.Second)
		r.must(err)
		inbox := pull.Reply[:strings.LastIndexByte(pull.Reply, '.')]
		r.must(w.SetSources(nil))
		r.publish(outbox.Message{ID: "late"})
		bubble.Sleep(time.Minute)
		r.must(r.js.Conn().PublishMsg(&nats.Msg{Subject: pull.Subject, Reply: inbox + ".0", Data: []byte(`{"batch":1,"no_wait":true}`)}))
		bubble.Sleep(time.Minute)
		if n := len(r.far.Of("late")); n != 0 || r.stored("REDOX_OUT") != 1 {
			t.Errorf("sent %d times by a worker that does not serve its source", n)
		}
		c, err := r.consumer(source + "-send")
		r.must(err)
		if n := c.CachedInfo().Delivered.Consumer; n != 2 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// A source that leaves while its consumer cannot be had ends its trouble.
func TestSetSources_OneThatLeavesEndsItsTrouble(t *testing.T) {
	inBubble(t, func(r *rig) {
		_, err := r.js.CreateConsumer(r.Context(), "REDOX_OUT", jetstream.ConsumerConfig{
			Durable: source + "-send", FilterSubject: "redox.out." + source + ".send", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second})
		r.must(err)
		log := new(logged)
		w, _ := r.launch(worker.Config{Logger: slog.New(slog.NewTextHandler(log, nil)), Sources: []worker.Source{{Name: source}, {Name: "stays"}}})
		r.publish(outbox.Message{})
		bubble.Sleep(time.Minute)
		if !strings.Contains(log.String(), "pulling failed") {
			t.Fatalf("no trouble: %s", log)
		}
		r.must(w.SetSources([]worker.Source{{Name: "stays"}}))
		bubble.Sleep(time.Minute)
		r.awaitSettled(r.publish(outbox.Message{Source: "stays"}))
		if !strings.Contains(log.String(), "messages are pulled again") {
			t.Errorf("the trouble has not ended: %s", log)
		}
	})
}

// What is in hand of a source that leaves is held where its outcome is unknown, as the source had asked.
func TestSetSources_WhatIsInHandOfOneThatLeavesIsHeld(t *testing.T) {
	inBubble(t, func(r *rig) {
		leave := make(chan struct{})
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.ID == "first" {
				<-leave
				return outbox.Answer{Status: 200}, nil
			}
			return outbox.Answer{}, worker.UnknownOutcome(errFar)
		}
		w, _ := r.launch(worker.Config{Sources: holding})
		r.ordered("first", "patient")
		r.until("the first is sent", func() bool { return len(r.far.Of("first")) == 1 })
		r.ordered("second", "patient")
		bubble.Sleep(time.Second)
		r.must(w.SetSources(nil))
		close(leave)
		bubble.Sleep(time.Minute)
		if e, settled := r.settled("second"); len(r.far.Of("second")) == 1 && (!settled || e.Settlement != outbox.Held) {
			t.Errorf("its outcome is unknown, and it was not held: %v, %v", settled, e.Settlement)
		} else if len(r.far.Of("second")) == 0 {
			t.Error("it was not in hand")
		}
	})
}
