package order_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/order"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

var errFar = errors.New("far side: it is down")

// waiting is the only order token that has a message.
func (r *rig) waiting(o *order.Tokens) order.State {
	r.Helper()
	list, err := o.List(r.Context(), source, 1, 0)
	if err != nil {
		r.Fatal(err)
	}
	if len(list) != 1 {
		r.Fatalf("%d tokens have messages, want 1: %+v", len(list), list)
	}
	return list[0]
}

func TestTokens_HoldAHeadThatWaits(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.ID == "stuck" {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start()
		r.ordered("stuck", "patient")
		r.ordered("behind", "patient")
		bubble.Sleep(20 * time.Minute) // by now the waits are minutes long
		tokens := order.NewTokens(r.js, "")
		r.until("it waits for long", func() bool { return time.Until(r.waiting(tokens).Head.Next) > time.Minute })
		state := r.waiting(tokens)
		if h := state.Head; state.Messages != 2 || h.ID != "stuck" || h.State != order.Waiting || h.Status != 503 || h.Attempts < 5 || h.Sequence != 1 || h.ByHand {
			t.Errorf("%+v, head %+v", state, h)
		}
		calls, asked := len(r.far.Of("stuck")), time.Now()
		if state, err := tokens.Hold(r.Context(), source, "stuck"); err != nil || state.Head.State != order.Waiting {
			t.Fatalf("%+v, %v", state, err)
		}
		if e := r.awaitSettled("stuck"); e.Settlement != outbox.Held || len(r.far.Of("stuck")) != calls {
			t.Errorf("settled %s after another %d calls", e.Settlement, len(r.far.Of("stuck"))-calls)
		}
		if took := time.Since(asked); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if e := r.awaitSettled("behind"); e.Settlement != outbox.Delivered {
			t.Errorf("behind: %s", e.Settlement)
		}
		store, err := dlq.New(r.js, dlq.Config{})
		r.must(err)
		letters, err := store.Get(r.Context(), source, "stuck")
		if err != nil || len(letters) != 1 || letters[0].Settlement != outbox.Held || letters[0].Status != 0 {
			t.Errorf("dead letters %+v, %v", letters, err)
		}
		if list, err := tokens.List(r.Context(), "", 1, 0); err != nil || len(list) != 0 {
			t.Errorf("still %+v, %v", list, err)
		}
	})
}

// The decision waits for as long as it takes until somebody serves the source.
func TestTokens_ADecisionOutlastsAWeekend(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.ordered("first", "patient")
		if _, err := order.NewTokens(r.js, "").Hold(r.Context(), source, "first"); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(72 * time.Hour)
		r.start()
		if e := r.awaitSettled("first"); e.Settlement != outbox.Held || len(r.far.Calls()) != 0 {
			t.Errorf("settled %s after %d calls, want held unsent", e.Settlement, len(r.far.Calls()))
		}
	})
}

func TestTokens_HoldAHeadThatNobodyHas(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.ordered("first", "patient")
		r.ordered("second", "patient")
		tokens := order.NewTokens(r.js, "")
		if h := r.waiting(tokens).Head; h.State != order.Queued || h.ID != "first" {
			t.Errorf("head %+v", h)
		}
		if _, err := tokens.Hold(r.Context(), source, "second"); !errors.Is(err, order.ErrNotHead) {
			t.Errorf("hold of a message behind the head: %v", err)
		}
		if _, err := tokens.Hold(r.Context(), source, "first"); err != nil {
			t.Fatal(err)
		}
		if h := r.waiting(tokens).Head; !h.ByHand {
			t.Errorf("head %+v", h)
		}
		r.start()
		if e := r.awaitSettled("first"); e.Settlement != outbox.Held || e.PossibleDuplicate || len(r.far.Of("first")) != 0 {
			t.Errorf("%+v after %d calls", e, len(r.far.Of("first")))
		}
		if e := r.awaitSettled("second"); e.Settlement != outbox.Delivered {
			t.Errorf("second: %s", e.Settlement)
		}
	})
}

func TestTokens_AnAttemptUnderWayIsNotCalledBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			bubble.Sleep(20 * time.Second)
			if m.ID == "slow" {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start()
		r.ordered("slow", "patient")
		r.until("sending", func() bool { return len(r.far.Calls()) == 1 })
		tokens := order.NewTokens(r.js, "")
		if state, err := tokens.Hold(r.Context(), source, "slow"); err != nil || state.Head.State != order.Sending {
			t.Fatalf("%+v, %v", state, err)
		}
		if e := r.awaitSettled("slow"); e.Settlement != outbox.Held || len(r.far.Of("slow")) != 1 || e.Attempt != 1 {
			t.Errorf("%+v after %d calls", e, len(r.far.Of("slow")))
		}
	})
}

// Who decides about a message of a paused source, and then resumes it, finds it settled so.
func TestTokens_HoldAHeadOfAPausedSource(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		pauses := worker.NewPauses(r.js, "", "me@test")
		r.must(pauses.Pause(r.Context(), source, 0, ""))
		bubble.Sleep(5 * time.Second)
		r.ordered("first", "patient")
		bubble.Sleep(time.Minute)
		state, err := order.NewTokens(r.js, "").Hold(r.Context(), source, "first")
		if r.must(err); state.Head.State != order.Queued {
			t.Errorf("head %+v", state.Head)
		}
		if resumed, err := pauses.Resume(r.Context(), source); err != nil || !resumed {
			t.Fatalf("%v, %v", resumed, err)
		}
		if e := r.awaitSettled("first"); e.Settlement != outbox.Held || len(r.far.Calls()) != 0 {
			t.Errorf("settled %s after %d calls, want held unsent", e.Settlement, len(r.far.Calls()))
		}
	})
}

// A hold looks up in the ledger the message that it is about, and not the heads of all orders.
func TestTokens_HoldReadsTheLedgerForOneMessage(t *testing.T) {
	inBubble(t, func(r *rig) {
		for i := range 50 {
			r.ordered(fmt.Sprint("m", i), fmt.Sprint("patient ", i))
		}
		var reads atomic.Int64
		for _, subject := range []string{"$JS.API.STREAM.MSG.GET.KV_REDOX_LEDGER", "$JS.API.DIRECT.GET.KV_REDOX_LEDGER.>"} {
			_, err := r.js.Conn().Subscribe(subject, func(*nats.Msg) { reads.Add(1) })
			r.must(err)
		}
		_, err := order.NewTokens(r.js, "").Hold(r.Context(), source, "m30")
		r.must(err)
		synctest.Wait()
		if n := reads.Load(); n == 0 || n > 4 {
			t.Errorf("the ledger was read %d times", n)
		}
	})
}
