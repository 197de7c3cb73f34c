package limit

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// limitOf is what a source may have in flight at most.
func (f *fleet) limitOf(source string) int {
	if n := f.slots.Narrowed()[source]; n > 0 {
		return n
	}
	return f.slots.Size()
}

// A backlog is sent with all that may be in flight from the start, where no queue shows.
func TestAdaptive_NoQueueIsLookedForAtTheStart(t *testing.T) {
	for _, test := range []struct {
		size int
		took time.Duration
	}{{64, 100 * time.Millisecond}, {1000, 100 * time.Millisecond}, {3000, time.Second}} {
		for _, sources := range []int{1, 5} {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(test.size, func(string) (time.Duration, Load) { return test.took, Fine })
				for i := range sources {
					f.drain(fmt.Sprint("source-", i), Send, 1<<30)
				}
				least := test.size
				for range 12 {
					bubble.Sleep(test.took)
					synctest.Wait()
					least = min(least, f.slots.InUse(), f.slots.Size(), f.limitOf("source-0"))
				}
				if least < test.size {
					t.Errorf("%d in flight of %d sources with answers in %v: %d at one time", test.size, sources, test.took, least)
				}
				f.stop()
			})
		}
	}
}

// What one source meets narrows that one, and it recovers.
func TestAdaptive_TroubleOfOneIsItsOwn(t *testing.T) {
	for name, meets := range map[string]struct {
		took time.Duration
		load Load
	}{"failed": {10 * time.Millisecond, Failed}, "refused": {10 * time.Millisecond, Refused}, "slow": {2 * time.Second, Fine}, "hangs": {5 * time.Second, Failed}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				trouble := false
				f := newFleet(64, func(source string) (time.Duration, Load) {
					if trouble && source == "a" {
						return meets.took, meets.load
					}
					return 100 * time.Millisecond, Fine
				})
				for _, source := range []string{"a", "b", "c"} {
					f.drain(source, Send, 1<<30)
				}
				bubble.Sleep(10 * time.Second)
				f.mu.Lock()
				trouble = true
				f.mu.Unlock()
				bubble.Sleep(50 * time.Second)
				if n := f.limitOf("a"); n > 16 {
					t.Errorf("the limit of the source in trouble is %d", n)
				}
				if n := min(f.slots.Size(), f.limitOf("b"), f.limitOf("c")); n < 64 {
					t.Errorf("the limit of the others is %d: %v", n, f.changes())
				}
				f.mu.Lock()
				trouble = false
				f.mu.Unlock()
				bubble.Sleep(2 * time.Minute)
				if n := f.limitOf("a"); n < 48 {
					t.Errorf("the limit is %d long after", n)
				}
				f.stop()
			})
		})
	}
}

// That sources come whose answers always take longer, or whose messages are always refused, is
// no trouble of the far side, though they are more than the others.
func TestAdaptive_HabitsOfSomeAreNoTrouble(t *testing.T) {
	for _, habit := range []string{"slow", "refused"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(64, func(source string) (time.Duration, Load) {
				switch {
				case !strings.HasPrefix(source, "some"):
					return 100 * time.Millisecond, Fine
				case habit == "slow":
					return time.Second, Fine
				}
				return 100 * time.Millisecond, Refused
			})
			plain, some := 6, 4
			if habit == "slow" {
				plain, some = 2, 12
			}
			for i := range plain {
				f.drain(fmt.Sprint("plain-", i), Send, 1<<30)
			}
			bubble.Sleep(10 * time.Second)
			for i := range some {
				f.drain(fmt.Sprint("some-", i), Send, 1<<30)
			}
			least := 64
			for range 50 {
				bubble.Sleep(time.Second)
				least = min(least, f.slots.Size())
			}
			if least < 30 || f.slots.Size() < 64 {
				t.Errorf("the limit over all is narrowed by those that are %s: %v", habit, f.changes())
			}
			f.stop()
		})
	}
}

// What all meet narrows all together, unless it is somebody behind the far side.
func TestAdaptive_TroubleOfSeveralIsTheFarSides(t *testing.T) {
	for _, behind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			f := newFleet(64, func(string) (time.Duration, Load) {
				if n++; n%4 == 0 {
					return 20 * time.Millisecond, Refused
				}
				return 100 * time.Millisecond, Fine
			})
			f.behind = behind
			for i := range 5 {
				f.drain(fmt.Sprint("source-", i), Send, 1<<30)
			}
			bubble.Sleep(time.Minute)
			if n := f.slots.Size(); behind != (n == 64) || !behind && n > 16 {
				t.Errorf("the limit is %d where a quarter is refused to all, behind the far side %v: %v", n, behind, f.changes())
			}
			f.stop()
		})
	}
}

// Nothing is kept of sources without traffic.
func TestAdaptive_ForgetsIdleSources(t *testing.T) {
	s := NewSlots(64)
	a := NewAdaptive(s, nil)
	now := time.Now()
	for i := range 5000 {
		for k := range 100 {
			a.Observe(Answer{Source: fmt.Sprint(i), At: now.Add(time.Duration(k) * 20 * time.Millisecond), Took: 1, Load: Failed})
		}
	}
	if len(a.units) != 5000 || len(s.narrowed) != 5000 {
		t.Fatalf("%d sources, %d narrowed", len(a.units), len(s.narrowed))
	}
	for i := range 500 { // all are refused what they were not before
		at := now.Add(3*time.Minute + time.Duration(i)*10*time.Millisecond)
		a.Observe(Answer{Source: fmt.Sprint("late", i%50), At: at, Took: 1, Load: Refused})
	}
	if n := s.Size(); n == 64 {
		t.Error("the limit over all is not narrowed")
	}
	a.Observe(Answer{Source: "late", At: now.Add(forgetAfter + time.Minute), Took: 1})
	if len(a.units) != 51 {
		t.Errorf("%d sources are kept, want those of late", len(a.units))
	}
	a.Observe(Answer{Source: "busy", At: now.Add(3 * forgetAfter), Took: 1})
	if len(a.units) != 1 || len(s.narrowed) != 0 || s.Size() != 64 {
		t.Errorf("%d sources are kept, %d narrowed, the limit over all is %d", len(a.units), len(s.narrowed), s.Size())
	}
	s.unused(t)
}

func BenchmarkAdaptive(b *testing.B) {
	for _, sources := range []int{1, 300} {
		b.Run(fmt.Sprint(sources), func(b *testing.B) {
			a := NewAdaptive(NewSlots(64), nil)
			names := make([]string, sources)
			for i := range names {
				names[i] = fmt.Sprint("clinic-", i)
			}
			now := time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				a.Observe(Answer{Source: names[i%sources], At: now.Add(time.Duration(i) * time.Millisecond), Took: 100 * time.Millisecond})
			}
		})
	}
}
