package ack_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const ackWait = 30 * time.Second

// inBubble runs f with a work queue that has one message, and its consumer.
func inBubble(t *testing.T, f func(t *testing.T, js jetstream.JetStream, queue jetstream.Stream, consumer jetstream.Consumer)) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		queue, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "Q", Subjects: []string{"q"}, Retention: jetstream.WorkQueuePolicy})
		if err != nil {
			t.Fatal(err)
		}
		consumer, err := queue.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(t.Context(), "q", []byte("m")); err != nil {
			t.Fatal(err)
		}
		f(t, js, queue, consumer)
	})
}

// next waits for the next delivery, and answers how long that took.
func next(t *testing.T, consumer jetstream.Consumer) (jetstream.Msg, time.Duration) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	msg, err := consumer.Next(jetstream.FetchContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	return msg, time.Since(begin).Round(time.Second)
}

func TestDone_RemovesTheMessageBeforeItReturns(t *testing.T) {
	inBubble(t, func(t *testing.T, js jetstream.JetStream, queue jetstream.Stream, consumer jetstream.Consumer) {
		msg, _ := next(t, consumer)
		if err := ack.Done(t.Context(), js.Conn(), msg.Reply()); err != nil {
			t.Fatal(err)
		}
		if info, err := queue.Info(t.Context()); err != nil || info.State.Msgs != 0 {
			t.Errorf("%+v, %v", info.State, err)
		}
	})
}

func TestBack_DeliversAgainAtOnceOrAfterTheDelay(t *testing.T) {
	inBubble(t, func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream, consumer jetstream.Consumer) {
		msg, _ := next(t, consumer)
		for _, delay := range []time.Duration{0, 7 * time.Minute, 5 * time.Second} {
			ack.Back(js.Conn(), msg.Reply(), delay)
			again, took := next(t, consumer)
			if took != delay {
				t.Errorf("handed back for %v, it came after %v", delay, took)
			}
			msg = again
		}
	})
}

func TestInProgress_StartsTheAckWaitAnewAndIsConfirmed(t *testing.T) {
	inBubble(t, func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream, consumer jetstream.Consumer) {
		begin := time.Now()
		msg, _ := next(t, consumer)
		confirmed, err := js.Conn().SubscribeSync("confirmed")
		if err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(ackWait * 2 / 3)
		ack.InProgress(js.Conn(), msg.Reply(), "confirmed")
		if _, err := confirmed.NextMsg(time.Second); err != nil {
			t.Error(err)
		}
		if _, _ = next(t, consumer); time.Since(begin) < ackWait*5/3 {
			t.Errorf("it came again %v after it was delivered", time.Since(begin))
		}
	})
}

// A message that waits for long is woken by whoever knows its numbers, as any of its consumer's
// deliveries that is not acknowledged.
func TestDelivery_WakeOvertakesTheDelay(t *testing.T) {
	for name, confirmed := range map[string]bool{"confirmed": true, "not confirmed": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream, consumer jetstream.Consumer) {
				msg, _ := next(t, consumer)
				ack.Back(js.Conn(), msg.Reply(), 20*time.Minute)
				bubble.Sleep(time.Minute)
				if err := (ack.Delivery{Stream: "Q", Consumer: "c", Sequence: 1, Consumed: 1}).Wake(t.Context(), js.Conn(), confirmed); err != nil {
					t.Fatal(err)
				}
				if _, took := next(t, consumer); took != 0 {
					t.Errorf("it came after %v", took)
				}
			})
		})
	}
}

// The subject that is made of the numbers of a delivery acknowledges it as its own does.
func TestDelivery_ReplyIsTakenForItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, js jetstream.JetStream, queue jetstream.Stream, consumer jetstream.Consumer) {
		msg, _ := next(t, consumer)
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		d := ack.Delivery{Stream: "Q", Consumer: "c", Sequence: meta.Sequence.Stream, Consumed: meta.Sequence.Consumer, Count: meta.NumDelivered}
		if err := ack.Done(t.Context(), js.Conn(), d.Reply()); err != nil {
			t.Fatal(err)
		}
		if info, err := queue.Info(t.Context()); err != nil || info.State.Msgs != 0 {
			t.Errorf("%+v, %v", info.State, err)
		}
	})
}
