package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A source that gets no answers, and one with a large backlog, are named while nothing is paused;
// others are not.
func TestStatus_NamesWhoIsSlowAndWhoHasMuch(t *testing.T) {
	inBubble(t, func(r *rig) {
		answered := make(chan struct{})
		r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == "slow" {
				select {
				case <-answered:
				case <-ctx.Done():
				}
			}
			return outbox.Answer{Status: 200}, nil
		}
		w, _ := r.launch(worker.Config{Concurrency: 8, Sources: []worker.Source{{Name: "slow"}, {Name: "well"}}})
		var ids []string
		for range 30 {
			ids = append(ids, r.publish(outbox.Message{Source: "slow"}), r.publish(outbox.Message{Source: "well"}))
		}
		ids = append(ids, r.publish(outbox.Message{Source: "slow", Lane: contract.LaneRequest}))
		bubble.Sleep(9 * time.Second)
		if s := w.Status(); len(s.Slow) > 0 || len(s.Backlog) != 1 || s.Backlog[0] != (worker.SourceBacklog{Source: "slow", Messages: 31}) {
			t.Errorf("after 9 s: %+v", s)
		}
		bubble.Sleep(6 * time.Second)
		s := w.Status()
		if len(s.Slow) != 1 || s.Slow[0].Source != "slow" || s.Slow[0].Messages < 3 || s.Slow[0].Messages > 9 || s.Slow[0].Longest.Round(time.Second) != 15*time.Second {
			t.Errorf("after 15 s: %+v", s.Slow)
		}
		close(answered)
		for _, id := range ids {
			r.awaitSettled(id)
		}
		bubble.Sleep(10 * time.Second)
		if s := w.Status(); len(s.Slow) > 0 || len(s.Backlog) > 0 {
			t.Errorf("in the end: %+v", s)
		}
	})
}

// However many are slow, ten are named.
func TestStatus_NamesTenAtMost(t *testing.T) {
	inBubble(t, func(r *rig) {
		answered := make(chan struct{})
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			select {
			case <-answered:
			case <-ctx.Done():
			}
			return outbox.Answer{Status: 200}, nil
		}
		c := worker.Config{Concurrency: 1}
		for i := range 40 {
			c.Sources = append(c.Sources, worker.Source{Name: fmt.Sprintf("s%02d", i)})
		}
		w, _ := r.launch(c)
		var ids []string
		for i := range 120 {
			ids = append(ids, r.publish(outbox.Message{Source: c.Sources[i%40].Name}))
		}
		bubble.Sleep(15 * time.Second)
		if s := w.Status(); len(s.Slow) != 10 || len(s.Backlog) != 10 || s.Slow[9].Source != "s09" || s.Backlog[9].Source != "s09" {
			t.Errorf("%+v, %+v", s.Slow, s.Backlog)
		}
		close(answered)
		for _, id := range ids {
			r.awaitSettled(id)
		}
	})
}
