package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func (m *Memory) idle(t *testing.T) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bodies != 0 || m.answers != 0 || m.beyond != nil || m.alone != nil || len(m.queue) != 0 || len(m.holders) != 0 {
		t.Errorf("left over: %d of bodies, %d of answers, beyond %v %v, %d wait, %d sources", m.bodies, m.answers,
			m.beyond != nil, m.alone != nil, len(m.queue), len(m.holders))
	}
}

func (m *Memory) used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies + m.answers
}

// take takes room for a body, or reports that there is none at once.
func (m *Memory) take(source string, size int64) func() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	give, _ := m.Take(ctx, source, size)
	return give
}

// Answers that each hold a part and wait for more come to their end, one after another, and
// so do those of messages whose bodies take all there is; of one source and of several.
func TestMemory_AnswersNeverHoldEachOtherUp(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]int64{"answers": 0, "and bodies": 25} {
		for _, sources := range []int{1, 3, 20} {
			synctest.Test(t, func(t *testing.T) {
				m := NewMemory(100)
				var all sync.WaitGroup
				var mu sync.Mutex
				var most int64
				for i := range 20 {
					all.Go(func() {
						random := rand.New(rand.NewPCG(uint64(i), 1))
						source := fmt.Sprint(i % sources)
						if body > 0 {
							give, err := m.Take(t.Context(), source, body)
							if err != nil {
								t.Error(err)
							}
							defer give()
						}
						a := &Room{Memory: m, Source: source}
						defer a.End()
						for range 10 {
							if err := a.Grow(t.Context(), 4, true); err != nil {
								t.Error(err)
							}
							mu.Lock()
							most = max(most, m.used())
							mu.Unlock()
							bubble.Sleep(time.Duration(random.IntN(1000)) * time.Millisecond)
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
}

// Who waits is bounded by its context, and leaves nothing behind.
func TestMemory_WhoWaitsMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		slow, other := &Room{Memory: m, Source: "a"}, &Room{Memory: m, Source: "b"}
		if err := slow.Grow(t.Context(), 60, true); err != nil { // goes beyond
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
		defer cancel()
		if err := other.Grow(ctx, 51, true); err == nil || err.Error() != "too long" {
			t.Errorf("an answer: %v", err)
		}
		if err := other.Grow(t.Context(), 51, false); err == nil {
			t.Error("an answer that does not wait had its room")
		}
		give, err := m.Take(t.Context(), "a", 1000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Take(ctx, "a", 1); err == nil {
			t.Error("a body had room")
		}
		give()
		slow.End()
		slow.End() // the second time there is nothing
		m.idle(t)
	})
}

// One source takes what it can of bodies or of answers, for as long as its far side hangs: any
// number of others have their bodies and answers at once, and the total is bounded.
func TestMemory_ASourceLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, sources := range []int{2, 33, 300, 5000} {
		synctest.Test(t, func(t *testing.T) {
			m := NewMemory(256 * mb)
			ctx, cancel := context.WithCancel(t.Context())
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() {
					if give, err := m.Take(ctx, "huge", 10*mb); err == nil {
						<-ctx.Done()
						give()
					}
				})
				all.Go(func() {
					a := &Room{Memory: m, Source: "huge"}
					defer a.End()
					for range 40 {
						if a.Grow(ctx, mb, true) != nil {
							break
						}
					}
					<-ctx.Done()
				})
				if i%8 == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			for i := range sources - 1 {
				source := fmt.Sprint(i)
				give := m.take(source, 4<<10)
				a := Room{Memory: m, Source: source}
				if give == nil || a.Grow(ctx, 2<<10, false) != nil {
					t.Fatalf("%d sources: number %d has no room, %d MB are in use", sources, i, m.used()/mb)
				}
				defer give()
				defer a.End()
			}
			if used := m.used(); used > 256*mb {
				t.Errorf("%d MB are in use", used/mb)
			}
			cancel()
			all.Wait()
		})
	}
}

// A body for which there is not enough goes alone, beyond the budget, the next when it is done;
// a small one of another source does not wait for it.
func TestMemory_LargeBodiesGoAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(100)
		first := m.take("a", 70)
		second := m.take("b", 70)
		if first == nil || second == nil || m.used() != 70 {
			t.Fatalf("%d are in use", m.used())
		}
		if m.take("c", 70) != nil {
			t.Error("two go beyond")
		}
		order := make(chan string, 3)
		for _, source := range []string{"c", "a", "d"} {
			go func() {
				give, err := m.Take(t.Context(), source, 70)
				if err != nil {
					t.Error(err)
				}
				order <- source
				bubble.Sleep(time.Minute)
				give()
			}()
			synctest.Wait()
		}
		small := m.take("e", 20)
		if small == nil {
			t.Error("a small body waits for the large ones")
		}
		small()
		second()
		if got := <-order; got != "c" {
			t.Errorf("%s goes next", got)
		}
		first()
		synctest.Wait()
		if len(order) != 1 || <-order != "a" {
			t.Error("what was given back is not used")
		}
		if got := <-order; got != "d" {
			t.Errorf("%s goes last", got)
		}
		bubble.Sleep(time.Hour)
		m.idle(t)
	})
}

// Whoever reads on after the attempt takes nothing that nobody would give back.
func TestMemory_AnAttemptThatIsOverTakesNothing(t *testing.T) {
	t.Parallel()
	m := NewMemory(100)
	a := &Room{Memory: m, Source: "a"}
	for range 2 {
		if err := a.Grow(t.Context(), 60, true); err != nil {
			t.Fatal(err)
		}
		a.End()
	}
	if err := a.Grow(t.Context(), 40, false); err != nil {
		t.Error(err)
	}
	m.idle(t)
}
