package limit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// farSide is one whose answers take longer the more are in flight.
type farSide struct {
	base   time.Duration
	slots  int           // worked on at a time; 0: any number
	knee   int           // beyond it each takes slope longer
	slope  time.Duration //
	jitter float64
	reject int // beyond so many in flight

	mu       sync.Mutex
	luck     *rand.Rand
	inFlight int
	peak     int
	took     []time.Duration
}

func (f *farSide) answer(string) (time.Duration, Load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight++
	n := f.inFlight
	f.peak = max(f.peak, n)
	d := float64(f.base)
	if f.slots > 0 && n > f.slots {
		d *= float64(n) / float64(f.slots)
	}
	if f.knee > 0 && n > f.knee {
		d += float64(f.slope) * float64(n-f.knee)
	}
	roll := f.luck.Float64()
	d *= 1 + f.jitter*(2*roll-1)
	if f.jitter > 0 && roll > 0.98 {
		d *= 10
	}
	load := Fine
	if f.reject > 0 && n > f.reject {
		d, load = 1e7, Refused
	} else {
		f.took = append(f.took, time.Duration(d))
	}
	return time.Duration(d), load
}

func (f *farSide) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
}

// since returns what was in flight at most, and the median of the answers and their number,
// since it was asked last.
func (f *farSide) since() (peak int, median time.Duration, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n = len(f.took); n > 0 {
		slices.Sort(f.took)
		median = f.took[n/2]
	}
	peak, f.peak, f.took = f.peak, f.inFlight, nil
	return peak, median, n
}

// A far side that can do so much is given that, and its answers stay quick, whether one source
// sends or several.
func TestAdaptive_Profiles(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		far         *farSide
		least, most int
		quick       time.Duration // the median is at most
		perSecond   int           // at least
	}{
		"rate-limited":        {&farSide{base: 10 * ms, slots: 1}, 4, 14, 100 * ms, 90},
		"concurrency-limited": {&farSide{base: 50 * ms, slots: 8}, 6, 18, 115 * ms, 130},
		"concurrency-refused": {&farSide{base: 50 * ms, reject: 16}, 6, 30, 60 * ms, 100},
		"slow-knee":           {&farSide{base: 50 * ms, knee: 16, slope: 10 * ms}, 10, 26, 120 * ms, 180},
		"jittery":             {&farSide{base: 50 * ms, jitter: 0.8}, 44, 64, 70 * ms, 700},
		"quick":               {&farSide{base: 40 * ms}, 64, 64, 41 * ms, 900},
		"slow":                {&farSide{base: 300 * ms}, 44, 64, 300 * ms, 150},
	} {
		for _, sources := range []int{1, 2, 4, 12} {
			t.Run(fmt.Sprint(name, " ", sources), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					far := &farSide{base: test.far.base, slots: test.far.slots, knee: test.far.knee, slope: test.far.slope,
						jitter: test.far.jitter, reject: test.far.reject}
					far.luck = rand.New(rand.NewPCG(1, 2))
					f := newFleet(64, far.answer)
					f.answered = far.answered
					for i := range sources {
						f.drain(fmt.Sprint("source-", i), Send, 1<<30)
					}
					bubble.Sleep(20 * time.Second)
					far.since()
					var peaks, counts []int
					var medians []time.Duration
					for range 10 {
						bubble.Sleep(time.Second)
						peak, median, n := far.since()
						peaks, medians, counts = append(peaks, peak), append(medians, median), append(counts, n)
					}
					sizes := f.changes()
					t.Log(peaks, medians, counts, sizes[:min(20, len(sizes))])
					slices.Sort(peaks)
					slices.Sort(medians)
					slices.Sort(counts)
					most := test.most
					if sources > 1 {
						most = max(most*3/2, sources*2) // each has its first
					}
					quick := test.quick
					if sources > 4 {
						quick = quick * 5 / 2
					}
					if peaks[1] < test.least || peaks[8] > most {
						t.Errorf("in flight %v, want %d to %d", peaks, test.least, most)
					}
					if medians[5] > quick {
						t.Errorf("the answers take %v, want at most %v", medians[5], quick)
					}
					if counts[5] < test.perSecond {
						t.Errorf("%d answers a second, want at least %d", counts[5], test.perSecond)
					}
					f.stop()
				})
			})
		}
	}
}
