package quota

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// put replaces the book by whatever hand.
func (r *fleetRig) put(data []byte) {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	r.book.data, r.book.revision = data, r.book.revision+1
}

func (r *fleetRig) set(broken error, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken, r.full = broken, full
}

// losses are what can become of the book under running workers, and whether it heals by
// itself or the length of time has to.
var losses = map[string]struct {
	lose   func(r *fleetRig)
	length int // windows until it is mended from outside
}{
	"deleted":                {func(r *fleetRig) { r.put(nil) }, 0},
	"garbage":                {func(r *fleetRig) { r.put([]byte("\x00garbage")) }, 0},
	"half":                   {func(r *fleetRig) { r.put(half(r)) }, 0},
	"another's":              {func(r *fleetRig) { r.put([]byte(`{"requests":50,"per":5000000000,"leases":{"x":{"slots":-1}}}`)) }, 0},
	"of the time to come":    {func(r *fleetRig) { r.put(later(r)) }, 0},
	"bucket deleted":         {func(r *fleetRig) { r.set(errGone, false) }, 4},
	"bucket full":            {func(r *fleetRig) { r.set(nil, true) }, 4},
	"bucket made anew empty": {func(r *fleetRig) { r.book.mu.Lock(); r.book.data, r.book.revision = nil, 0; r.book.mu.Unlock() }, 0},
}

func half(r *fleetRig) []byte {
	data, _, _ := r.book.load(r.Context())
	return data[:len(data)/2]
}

func later(r *fleetRig) []byte {
	l := newLimits(r.cfg.Requests, r.cfg.Per, 0)
	data, err := newBook(l, time.Now().Add(100*24*time.Hour).UnixNano()).encode()
	if err != nil {
		r.Fatal(err)
	}
	return data
}

// Whatever becomes of the book, the limit holds, some go on at once, and when there is a
// book again the limit is used fully.
func TestGovernor_GoesOnWithoutItsBook(t *testing.T) {
	t.Parallel()
	for name, loss := range losses {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d workers", name, workers), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newFleetRig(t, Config{Requests: 200, Per: 20 * time.Second, Reserve: 0.2}, uint64(workers))
					for i := range workers {
						r.join(fmt.Sprint("w", i), 8)
					}
					bubble.Sleep(3 * r.cfg.Per)
					from := time.Now()
					loss.lose(r)
					bubble.Sleep(max(1, time.Duration(loss.length)) * r.cfg.Per)
					if used := r.far.used(from, time.Now()); used < 0.75 {
						t.Errorf("used %.2f %% of the limit in the time without a book", used*100)
					}
					if loss.length > 0 {
						s := r.all[0].Status()
						if s.Trouble == "" || s.Share < 1 || s.Share > r.cfg.Requests/workers {
							t.Errorf("the status says %q, share %d", s.Trouble, s.Share)
						}
					}
					r.set(nil, false)
					if name == "bucket deleted" {
						r.put(nil)
					}
					bubble.Sleep(2 * r.cfg.Per)
					from = time.Now()
					bubble.Sleep(3 * r.cfg.Per)
					if used := r.far.used(from, time.Now()); used < 0.97 {
						t.Errorf("used %.2f %% of the limit afterwards", used*100)
					}
					if s := r.all[0].Status(); s.Trouble != "" || s.Share != 0 {
						t.Errorf("afterwards the status says %q, share %d", s.Trouble, s.Share)
					}
					r.end()
				})
			})
		}
	}
}

// The book is lost again and again, in every way.
func TestGovernor_NeverExceedsTheLimitWhenBooksAreLost(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(losses))
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newFleetRig(t, Config{Requests: 100, Per: 10 * time.Second, Reserve: 0.2}, seed)
				r.latency = func() time.Duration { return r.between(5*time.Millisecond, 900*time.Millisecond) }
				for i := range 4 {
					r.join(fmt.Sprint("w", i), 12)
				}
				for range 40 {
					bubble.Sleep(r.between(time.Second, 15*time.Second))
					pick := names[int(r.between(0, time.Duration(len(names))))]
					losses[pick].lose(r)
					bubble.Sleep(r.between(100*time.Millisecond, 12*time.Second))
					r.set(nil, false)
				}
				if n := r.far.count(); n < 1000 {
					t.Errorf("only %d requests: nothing was put to the test", n)
				}
				r.end()
			})
		})
	}
}

// A worker that was suspended for longer than its allotment, and whose book is gone or as it
// left it, goes on.
func TestGovernor_SuspendedWorkerGoesOn(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"the book is there": false, "the book is gone": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, err := New(Config{Requests: 100, Per: 10 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				s := &memoryStore{}
				if _, err := g.takeTurn(t.Context(), s, true); err != nil {
					t.Fatal(err)
				}
				bubble.Sleep(time.Minute)
				if lost {
					s.data = nil
				}
				if _, err := g.takeTurn(t.Context(), s, true); err != nil {
					t.Fatal(err)
				}
				if s := g.Status(); !s.Allotted || s.Ready == 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A limit that is lower for a moment makes nothing free: what it took away was used.
func TestBook_AMomentOfALowerLimitFreesNothing(t *testing.T) {
	t.Parallel()
	l := newLimits(100, 10*time.Second, 0)
	now := moment{lo: int64(time.Hour), hi: int64(time.Hour)}
	for name, used := range map[string]int{"all used": 100, "some used": 60} {
		b := &book{Requests: 100, Per: l.per, Allotments: map[string]allotment{}}
		b.add(now.lo-int64(time.Second), 100-used)
		b.add(now.lo+int64(5*time.Second), used/2)
		b.add(now.lo+int64(9*time.Second), used-used/2)
		for _, requests := range []int{25, 100, 30, 100} {
			b.adapt(newLimits(b.Requests, 10*time.Second, 0), now, requests, l.per)
			data, err := b.encode()
			if err != nil {
				t.Fatal(err)
			}
			if b, err = decodeBook(data); err != nil {
				t.Fatal(err)
			}
			if free := b.free(now.hi); free > 100-used {
				t.Errorf("%s: %d free under a limit of %d, want %d at most", name, free, requests, 100-used)
			}
		}
		if free := b.free(now.lo + int64(9*time.Second)); free != 100 {
			t.Errorf("%s: %d free when all use is over, want 100", name, free)
		}
	}
}
