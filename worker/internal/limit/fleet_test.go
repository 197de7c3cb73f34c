package limit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// fleet is many sources that share slots, in fake time.
type fleet struct {
	slots    *Slots
	adaptive *Adaptive
	far      func(source string) (time.Duration, Load)
	answered func()
	behind   bool
	ctx      context.Context
	cancel   context.CancelFunc
	all      sync.WaitGroup

	mu    sync.Mutex
	waits map[string][]time.Duration // from the moment that a message is there until it has its slot
	sizes []int                      // of each change of the number of slots
}

func newFleet(size int, far func(source string) (time.Duration, Load)) *fleet {
	f := &fleet{slots: NewSlots(size), far: far, answered: func() {}, waits: map[string][]time.Duration{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.adaptive = NewAdaptive(f.slots, func(size int, _ bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.sizes = append(f.sizes, size)
	})
	return f
}

// send sends a message of the source, as soon as it has a slot.
func (f *fleet) send(source string, class Class) {
	came := time.Now()
	f.all.Go(func() {
		f.slots.Acquire(f.ctx, source, class, 1)
		start := time.Now()
		f.mu.Lock()
		f.waits[source] = append(f.waits[source], start.Sub(came))
		f.mu.Unlock()
		f.attempt(source, class, start)
	})
}

// drain sends so many messages that wait in the queue, fetched as slots come free.
func (f *fleet) drain(source string, class Class, n int) {
	f.all.Go(func() {
		for n > 0 {
			taken := f.slots.Acquire(f.ctx, source, class, min(n, 50))
			n -= taken
			if taken == 0 {
				return
			}
			for range taken {
				f.all.Go(func() { f.attempt(source, class, time.Now()) })
			}
		}
	})
}

// changes returns the numbers of slots that there were, in their order.
func (f *fleet) changes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sizes)
}

// stop ends what is still to be sent.
func (f *fleet) stop() {
	f.cancel()
	f.all.Wait()
}

func (f *fleet) attempt(source string, class Class, start time.Time) {
	f.mu.Lock()
	took, load := f.far(source)
	f.mu.Unlock()
	bubble.Sleep(took)
	f.answered()
	f.adaptive.Observe(Answer{Source: source, Class: class, At: time.Now(), Took: time.Since(start), Load: load, Behind: f.behind})
	f.slots.Release(source, class)
}

// troubles are what one source may have.
var troubles = map[string]struct {
	messages int
	took     time.Duration
	load     Load
}{
	"hangs":               {1000, 150 * time.Second, Failed},
	"is slow":             {1000, 30 * time.Second, Fine},
	"floods":              {100_000, 20 * time.Millisecond, Fine},
	"answers 500":         {20_000, 20 * time.Millisecond, Failed},
	"answers 503":         {20_000, 20 * time.Millisecond, Refused},
	"nothing (as before)": {},
}

// One source has a trouble, and each message of the others has its slot at once.
func TestFleet_NoNeighbourIsFelt(t *testing.T) {
	for _, sources := range []int{2, 33, 300, 5000} {
		for name, trouble := range troubles {
			t.Run(fmt.Sprint(sources, " sources, one ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(64, func(source string) (time.Duration, Load) {
						if source == "trouble" {
							return trouble.took, trouble.load
						}
						return 100 * time.Millisecond, Fine
					})
					f.drain("trouble", Send, trouble.messages)
					bubble.Sleep(3 * time.Second)
					luck := rand.New(rand.NewPCG(1, uint64(sources)))
					for range 3000 { // 100 in a second: ten in flight
						f.send(fmt.Sprint("quick-", luck.IntN(sources-1)), Class(luck.IntN(2)))
						bubble.Sleep(10 * time.Millisecond)
					}
					bubble.Sleep(time.Second)
					f.judge(t)
					f.all.Wait()
					f.slots.unused(t)
				})
			})
		}
	}
}

// judge holds that nobody but the troublemaker has waited, and that all have the slots they had.
func (f *fleet) judge(t *testing.T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var waits []time.Duration
	for source, list := range f.waits {
		if source != "trouble" {
			waits = append(waits, list...)
		}
	}
	slices.Sort(waits)
	p99 := waits[len(waits)*99/100]
	t.Logf("of %d: p50 %v, p99 %v, longest %v; limits %v", len(waits), waits[len(waits)/2], p99, waits[len(waits)-1], f.sizes)
	if p99 > 0 {
		t.Errorf("the others wait %v for a slot", p99)
	}
	if len(f.sizes) > 0 {
		t.Errorf("the limit over all moved: %v", f.sizes)
	}
}

// All have one message at the same moment, while one source holds what it can.
func TestFleet_AllAtOnce(t *testing.T) {
	t.Parallel()
	for _, sources := range []int{1, 2, 33, 300, 5000} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(64, func(string) (time.Duration, Load) { return 150 * time.Second, Failed })
			f.drain("source-0", Send, 1000)
			bubble.Sleep(time.Second)
			for i := range sources {
				f.send(fmt.Sprint("source-", i), Request)
			}
			synctest.Wait()
			if n := len(f.waits); n != sources {
				t.Errorf("%d sources: %d have a slot", sources, n)
			}
			if n := f.slots.InUse(); n > 96+sources {
				t.Errorf("%d sources: %d in flight", sources, n)
			}
			f.all.Wait()
			f.slots.unused(t)
		})
	}
}
