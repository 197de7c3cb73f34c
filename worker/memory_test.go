package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (m *memory) idle(t *testing.T) {
	t.Helper()
	if m.bodies != 0 || m.answers != 0 || m.beyond != nil || len(m.queue) != 0 {
		t.Errorf("left over: %d of bodies, %d of answers, beyond %v, %d wait", m.bodies, m.answers, m.beyond != nil, len(m.queue))
	}
}

// Answers that each hold a part and wait for more come to their end, one after another, and
// so do those of messages whose bodies take all there is.
func TestMemory_AnswersNeverHoldEachOtherUp(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]int64{"answers": 0, "and bodies": 25} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory(100)
			var all sync.WaitGroup
			var mu sync.Mutex
			var counted, most int64
			for i := range 20 {
				all.Go(func() {
					random := rand.New(rand.NewPCG(uint64(i), 1))
					if err := m.take(t.Context(), body); err != nil {
						t.Error(err)
					}
					defer m.give(body)
					a := &answerRoom{memory: m}
					defer a.end()
					for range 10 {
						if err := a.grow(t.Context(), 4, true); err != nil {
							t.Error(err)
						}
						mu.Lock()
						m.mu.Lock()
						counted = m.bodies + m.answers
						m.mu.Unlock()
						most = max(most, counted)
						mu.Unlock()
						time.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
					}
				})
			}
			all.Wait()
			if most > 100 {
				t.Errorf("%s: %d of 100 were in use", name, most)
			}
			m.idle(t)
		})
	}
}

// Who waits is bounded by its context, and leaves nothing behind.
func TestMemory_WhoWaitsMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100)
		slow, other := &answerRoom{memory: m}, &answerRoom{memory: m}
		if err := slow.grow(t.Context(), 60, true); err != nil { // goes beyond
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
		defer cancel()
		if err := other.grow(ctx, 51, true); err == nil || err.Error() != "too long" {
			t.Errorf("an answer: %v", err)
		}
		if err := other.grow(t.Context(), 51, false); err == nil {
			t.Error("an answer that does not wait had its room")
		}
		if err := m.take(t.Context(), 100); err != nil {
			t.Fatal(err)
		}
		if err := m.take(ctx, 1); err == nil {
			t.Error("a body had room")
		}
		m.give(100)
		slow.end()
		slow.end() // the second time there is nothing
		m.idle(t)
	})
}

// A body does not wait for the answers of far sides that are slow, and goes first where it
// needs what they would take.
func TestMemory_BodiesDoNotWaitForAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100)
		var answers [30]answerRoom
		done := make(chan struct{})
		var all sync.WaitGroup
		for i := range answers {
			answers[i].memory = m
			all.Go(func() {
				if err := answers[i].grow(t.Context(), 10, true); err != nil {
					t.Error(err)
				}
				<-done
				answers[i].end()
			})
		}
		synctest.Wait()
		for range 2 {
			if err := m.take(t.Context(), 25); err != nil {
				t.Error(err)
			}
		}
		large := make(chan struct{})
		all.Go(func() {
			if err := m.take(t.Context(), 100); err != nil {
				t.Error(err)
			}
			close(large)
		})
		synctest.Wait()
		m.give(25)
		m.give(25)
		answers[0].end()
		synctest.Wait()
		m.mu.Lock()
		if m.answers > 50 {
			t.Errorf("answers have %d of 100", m.answers)
		}
		m.mu.Unlock()
		close(done)
		<-large
		m.give(100)
		all.Wait()
		m.idle(t)

		small, more := &answerRoom{memory: m}, &answerRoom{memory: m}
		if err := small.grow(t.Context(), 20, false); err != nil {
			t.Error(err)
		}
		all.Go(func() { _ = m.take(t.Context(), 100) })
		synctest.Wait()
		if more.grow(t.Context(), 10, false) == nil {
			t.Error("an answer went before a body that needs all there is")
		}
		small.end()
		all.Wait()
		m.give(100)
		m.idle(t)
	})
}

// Whoever reads on after the attempt takes nothing that nobody would give back.
func TestMemory_AnAttemptThatIsOverTakesNothing(t *testing.T) {
	t.Parallel()
	m := newMemory(100)
	a := &answerRoom{memory: m}
	for range 2 {
		if err := a.grow(t.Context(), 60, true); err != nil {
			t.Fatal(err)
		}
		a.end()
	}
	if err := a.grow(t.Context(), 40, false); err != nil {
		t.Error(err)
	}
	m.idle(t)
}
