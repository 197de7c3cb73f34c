package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A message whose id comes again, of its own source or another's, is answered too.
func TestReply_AnIDThatComesAgainIsAnswered(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if time.Since(start) < 9*time.Minute {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}, Retry: worker.Retry{Max: time.Minute}})
		r.publish(outbox.Message{ID: "1001", ReplyTo: "redox.reply.clinic-a.first"})
		r.awaitSettled("1001")
		bubble.Sleep(11*time.Minute - time.Since(start)) // the queue has forgotten the id
		r.publish(outbox.Message{ID: "1001", Source: "clinic-b", ReplyTo: "redox.reply.clinic-b.second"})
		r.publish(outbox.Message{ID: "1001", ReplyTo: "redox.reply.clinic-a.third"})
		r.until("three are settled", func() bool { return len(r.all(worker.EventSettled)) == 3 })
		if n := r.stored("REDOX_REPLIES"); n != 3 {
			t.Errorf("%d durable replies, want 3", n)
		}
	})
}
