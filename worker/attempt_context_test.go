package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Attempts that keep more of their answers than there is memory for wait for each other, and
// all come through; what they took is free again, whatever became of them.
func TestRun_AnswersShareTheMemory(t *testing.T) {
	inBubble(t, func(r *rig) {
		const piece, pieces = 64 << 10, 8
		r.far.Answer = func(ctx context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			for range pieces {
				if err := worker.AnswerRoom(ctx, piece, true); err != nil {
					return outbox.Answer{}, err
				}
				bubble.Sleep(time.Second)
			}
			switch {
			case n == 1 && m.Lane == contract.LaneRequest:
				return outbox.Answer{Status: 503, Body: make([]byte, piece*pieces)}, errors.New("not now")
			case m.ID == "panics" && n == 2:
				panic("at the disco")
			}
			return outbox.Answer{Status: 200, Body: make([]byte, 1000)}, nil
		}
		inbox, replies := r.inbox()
		ids := []string{r.publish(outbox.Message{ID: "panics"})}
		for range 6 {
			id, _ := r.claimed(outbox.Message{Lane: contract.LaneRequest, ReplyTo: inbox, Deadline: time.Now().Add(time.Hour)}, large(128<<10))
			ids = append(ids, id)
		}
		r.start(worker.Config{Concurrency: 32, MaxClaimMemory: 1 << 20})
		for _, id := range ids {
			if e := r.awaitSettled(id); e.Settlement != outbox.Delivered {
				r.Errorf("%+v", e)
			}
		}
		r.until("all are answered", func() bool { return len(replies()) >= 6 })
		for _, reply := range replies() {
			if len(reply.Body) != 1000 {
				r.Errorf("a reply of %d bytes", len(reply.Body))
			}
		}
		// All of it is free: this one needs as much as there is.
		whole, _ := r.claimed(outbox.Message{}, large(1<<20))
		if e := r.awaitSettled(whole); e.Settlement != outbox.Delivered {
			r.Errorf("%+v", e)
		}
	})
}

// Where there is no attempt, or it is over, nobody counts.
func TestAnswerRoom_OutsideOfAnAttempt(t *testing.T) {
	if err := worker.AnswerRoom(t.Context(), 1<<60, false); err != nil {
		t.Error(err)
	}
}
