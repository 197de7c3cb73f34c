package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

// The backstop is looked at by the lease keeper, every tenth of the ack wait.
func TestRun_AttemptTimeoutEndsAnAttemptThatHangs(t *testing.T) {
	inBubble(t, func(r *rig) {
		var cause error
		r.far.Answer = func(ctx context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				<-ctx.Done()
				cause = context.Cause(ctx)
				return outbox.Answer{}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{AttemptTimeout: 2 * time.Minute})
		r.publish(outbox.Message{ID: "send"})
		if e := r.awaitSettled("send"); e.Settlement != outbox.Delivered || e.Attempt != 2 {
			t.Errorf("%+v", e)
		}
		if !errors.Is(cause, worker.ErrAttemptTimeout) {
			t.Errorf("the attempt ended with %v", cause)
		}
		first := r.far.Of("send")[0]
		if took := first.End.Sub(first.Start); took < 2*time.Minute || took > 2*time.Minute+3*time.Second {
			t.Errorf("the attempt took %v", took)
		}
	})
}

// A request ends at its deadline to the moment, not at the next beat.
func TestRun_DeadlineEndsARequestAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			<-ctx.Done()
			return outbox.Answer{}, context.Cause(ctx)
		}
		r.start(worker.Config{})
		at := time.Now().Add(7*time.Second + 100*time.Millisecond)
		r.publish(outbox.Message{ID: "query", Lane: contract.LaneRequest, Deadline: at, ReplyTo: "_INBOX.somebody"})
		if e := r.awaitSettled("query"); e.Settlement != outbox.Expired {
			t.Errorf("%+v", e)
		}
		if end := r.far.Of("query")[0].End; !end.Equal(at) {
			t.Errorf("the attempt ended %v after the deadline", end.Sub(at))
		}
	})
}

// A Deliverer may end its attempt itself; what it then says is judged as ever.
func TestRun_DelivererEndsItsOwnAttempt(t *testing.T) {
	inBubble(t, func(r *rig) {
		tooLong := errors.New("no answer within the time that I have")
		r.far.Answer = func(ctx context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n > 1 {
				return outbox.Answer{Status: 200}, nil
			}
			own, ok := ctx.(interface{ Cancel(cause error) })
			if !ok {
				t.Error("the context of an attempt cannot be ended")
				return outbox.Answer{}, errFar
			}
			time.AfterFunc(time.Minute, func() { own.Cancel(tooLong) })
			<-ctx.Done()
			if cause := context.Cause(ctx); !errors.Is(cause, tooLong) {
				t.Errorf("the attempt ended with %v", cause)
			}
			return outbox.Answer{}, worker.UnknownOutcome(errFar)
		}
		r.start(worker.Config{})
		r.publish(outbox.Message{ID: "send"})
		if e := r.awaitSettled("send"); e.Settlement != outbox.Delivered || e.Attempt != 2 || !e.PossibleDuplicate {
			t.Errorf("%+v", e)
		}
	})
}
