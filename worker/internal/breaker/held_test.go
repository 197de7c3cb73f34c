package breaker

import (
	"fmt"
	"testing"
	"time"
)

// handBack has the messages of a source handed back, whose destination is paused until it is resumed, and returns how
// long the longest of them waits, and how many come again in which second.
func (b *Breaker) handBack(source string, n int, perSecond map[int]int) (longest time.Duration) {
	for range n {
		wait := b.Blocked(source, []string{"dest:" + source + ":big"})
		longest = max(longest, wait)
		perSecond[int(wait/time.Second)]++
	}
	return longest
}

func paused() *Breaker {
	b := New(nil, 0, nil)
	b.scopes[OperatorScope("", "big")] = &pause{operator: true}
	b.countHeld(time.Now())
	return b
}

// However many messages of however many sources wait for a destination that an operator has paused, they come again
// evenly, and none later than five minutes; few of them come within half a minute, and none long after its end.
func TestHeld_ComeAgainEvenly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sources, each int
		longest       time.Duration
	}{
		{1, 1, heldFor}, {1, 1000, heldFor + 10*time.Second}, {1, 100_000, heldMost}, {100, 1, heldFor}, {5000, 1, 2 * heldFor}, {5000, 20, heldMost},
	} {
		b, perSecond, most := paused(), map[int]int{}, max(110, c.each/120)
		if c.sources > 1 {
			most = max(500, c.sources*c.each/100)
		}
		for i := range c.sources {
			if wait := b.handBack(fmt.Sprint("clinic-", i), c.each, perSecond); wait < heldFor/2 || wait > c.longest {
				t.Fatalf("%d of %d sources: one waits %v", c.each, c.sources, wait)
			}
		}
		for second, many := range perSecond {
			if many > most {
				t.Errorf("%d of %d sources: %d come in second %d", c.each, c.sources, many, second)
			}
		}
	}
	h := held{last: map[string]time.Time{}}
	if wait := h.next("clinic-a", 3*time.Second, time.Now()); wait != 3*time.Second {
		t.Errorf("of a pause of 3s one waits %v", wait)
	}
}

// The few messages of one source come as soon as if another had no thousands that wait.
func TestHeld_ACrowdOfAnotherIsNotFelt(t *testing.T) {
	t.Parallel()
	b := paused()
	b.handBack("clinic-a", 100_000, map[int]int{})
	if wait := b.handBack("clinic-b", 10, map[int]int{}); wait > heldFor+time.Second {
		t.Errorf("one of ten waits %v", wait)
	}
	if b.countHeld(time.Now().Add(heldMost + time.Second)); len(b.held.last) != 0 {
		t.Errorf("%d sources are remembered that have nothing that waits", len(b.held.last))
	}
}
