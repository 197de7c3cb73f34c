package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// The tests of this file make a consumer anew: it counts deliveries from 1 again.

func (r *rig) makeConsumerAnew(name string) {
	r.Helper()
	bubble.Sleep(time.Second)
	if err := r.js.DeleteConsumer(r.Context(), "REDOX_OUT", name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		r.Fatal(err)
	}
	r.provision()
}

func TestGuarantee_AConsumerMadeAnewForgetsNoUnknownOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if n <= 3 {
				return outbox.Answer{}, worker.UnknownOutcome(errFar)
			}
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{Retry: worker.Retry{Initial: time.Hour, Max: time.Hour}})
		id := r.publish(outbox.Message{})
		r.until("it was tried", func() bool { return len(r.far.Calls()) == 3 })
		stop()
		r.makeConsumerAnew(source + "-send")
		r.start(worker.Config{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || !e.PossibleDuplicate || e.Attempt != 4 {
			t.Errorf("settled %s after %d attempts, possible duplicate: %v", e.Settlement, e.Attempt, e.PossibleDuplicate)
		}
	})
}

// An operator's decision neither.
func TestGuarantee_AConsumerMadeAnewForgetsNoDecision(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.ordered("head", "patient")
		tokens := order.NewTokens(r.js, "")
		state, err := tokens.Hold(r.Context(), source, "head")
		if err != nil {
			t.Fatal(err)
		}
		r.makeConsumerAnew(contract.Prefix("").SendConsumer(state.Source))
		r.start(worker.Config{})
		if e := r.awaitSettled("head"); e.Settlement != outbox.Held {
			t.Errorf("settled %s", e.Settlement)
		}
	})
}

// An advisory about the consumer of before says nothing about one that delivers again.
func TestSweeper_LeavesMessagesOfAConsumerMadeAnew(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.publish(outbox.Message{ID: "stuck"})
		c := r.limit(source+"-send", 1)
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		if n := r.stored("REDOX_ADVISORIES"); n != 1 {
			t.Fatalf("%d advisories: the test shows nothing", n)
		}
		r.makeConsumerAnew(source + "-send")
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("stuck"); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		bubble.Sleep(time.Minute)
		if n := r.stored("REDOX_DLQ"); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// A settlement does not wait for a consumer that is gone, with a slot that others need. The
// next consumer delivers the message again, which is not sent again.
func TestGuarantee_ASettlementOutlivesItsConsumer(t *testing.T) {
	inBubble(t, func(r *rig) {
		finish := make(chan struct{})
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			<-finish
			return outbox.Answer{Status: 200}, nil
		}
		w, _ := r.launch(worker.Config{})
		r.publish(outbox.Message{})
		r.until("it is being sent", func() bool { return len(r.far.Calls()) == 1 })
		if err := r.js.DeleteConsumer(r.Context(), "REDOX_OUT", source+"-send"); err != nil {
			t.Fatal(err)
		}
		close(finish)
		r.until("its slot is free", func() bool { return w.Status().InFlight == 0 })
		bubble.Sleep(time.Hour)
		r.provision()
		r.until("it is acknowledged", func() bool { return r.stored("REDOX_OUT") == 0 })
		if n := len(r.far.Calls()); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}
