package replies

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// unanswering is a JetStream whose streams do not answer.
type unanswering struct{ jetstream.JetStream }

func (unanswering) Stream(ctx context.Context, _ string) (jetstream.Stream, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While a source that was refused something for its size waits for what the stream says, nobody
// else does.
func TestStore_AStreamThatIsSilentHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(unanswering{}, "REDOX_REPLIES")
		s.note("clinic-a", &jetstream.APIError{Code: 400, ErrorCode: 10054})
		done := make(chan error, 1)
		go func() { done <- s.Shut(t.Context(), "clinic-a") }()
		synctest.Wait()
		began := time.Now()
		_ = s.Troubled("clinic-b")
		_ = s.Shut(t.Context(), "clinic-b")
		s.note("clinic-b", nil)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("another waited %v", waited)
		}
		if err := <-done; errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// missing is a JetStream without a stream, which takes a moment to say so.
type missing struct{ jetstream.JetStream }

func (missing) Stream(ctx context.Context, _ string) (jetstream.Stream, error) {
	select {
	case <-time.After(time.Second):
		return nil, jetstream.ErrStreamNotFound
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Where nothing could be written nobody writes before the stream was seen; what does not write
// does not wait.
func TestStore_NobodyWritesBeforeAStreamInTroubleWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(missing{}, "REDOX_REPLIES")
		s.note("clinic-a", context.DeadlineExceeded) // no answer: a subscriber got it, no stream
		shut := make(chan error, 5)
		for range cap(shut) {
			go func() { shut <- s.Shut(t.Context(), "clinic-b") }()
		}
		synctest.Wait()
		began := time.Now()
		_, _ = s.Troubled("clinic-b"), s.Refusals()
		if waited := time.Since(began); waited > 0 {
			t.Errorf("who does not write waited %v", waited)
		}
		for range cap(shut) {
			if <-shut == nil {
				t.Error("one may write although the stream does not exist")
			}
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Shut(cancelled, "clinic-b"); err == nil {
			t.Error("one may write without having asked")
		}
	})
}

// One whose time runs out while it asks, or while it waits for the answer, has learnt nothing of
// the stream: nobody writes for that.
func TestStore_WhoseTimeRunsOutLetsNobodyWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(missing{}, "REDOX_REPLIES")
		s.note("clinic-a", context.DeadlineExceeded)
		shut := make(chan error, 3)
		for _, after := range []time.Duration{500 * time.Millisecond, 600 * time.Millisecond, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			go func() { shut <- s.Shut(ctx, "clinic-b") }()
			synctest.Wait() // the first asks, the others wait
		}
		for range cap(shut) {
			if <-shut == nil {
				t.Error("one may write although the stream does not exist")
			}
		}
		if err := s.Shut(t.Context(), "clinic-b"); err == nil {
			t.Error("another may write afterwards")
		}
	})
}
