package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// limitDeadLetters bounds the number of dead letters; -1 is none.
func (r *rig) limitDeadLetters(n int64) {
	r.Helper()
	s, err := r.js.Stream(r.Context(), "REDOX_DLQ")
	if err != nil {
		r.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxMsgs = n
	if _, err := r.js.UpdateStream(r.Context(), c); err != nil {
		r.Fatal(err)
	}
}

// A message of one source is settled while that of another source under the same id cannot
// be: the log does not take the one for the other, and says that it is over when it is.
func TestLog_AnIDOfTwoSources(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == source {
				return outbox.Answer{Status: 400}, worker.Permanent(errors.New("status 400"))
			}
			return outbox.Answer{Status: 200}, nil
		}
		if _, err := r.js.Publish(r.Context(), "redox.dlq.clinic-b.rejected.one", nil); err != nil {
			r.Fatal(err)
		}
		r.limitDeadLetters(1)
		out := &logged{}
		r.start(worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}, Logger: slog.New(slog.NewJSONHandler(out, nil))})
		const over = "settlements are confirmed again"
		r.publish(outbox.Message{ID: "1001"})
		bubble.Sleep(10 * time.Second)
		r.publish(outbox.Message{ID: "1001", Source: "clinic-b"})
		if e := r.awaitSettled("1001"); e.Source != "clinic-b" {
			r.Fatalf("%s is settled", e.Source)
		}
		bubble.Sleep(10 * time.Second)
		if lines := out.take(t); slices.Contains(lines, over) || !slices.Contains(lines, "a dead letter could not be written; repeating") {
			t.Errorf("while one cannot be settled: %q", lines)
		}
		r.limitDeadLetters(-1)
		r.until("both are settled", func() bool { return len(r.all(worker.EventSettled)) == 2 })
		if lines := out.take(t); !slices.Contains(lines, over) {
			t.Errorf("afterwards: %q", lines)
		}
	})
}
