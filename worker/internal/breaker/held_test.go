package breaker

import (
	"testing"
	"time"
)

// However many messages wait for a destination that an operator has paused, they come again evenly, and
// none later than five minutes; few of them come within half a minute, and none long after its end.
func TestHeld_ComeAgainEvenly(t *testing.T) {
	t.Parallel()
	for n, longest := range map[int]time.Duration{1: heldFor, 1000: heldFor + 10*time.Second, 100_000: heldMost} {
		var h held
		now, perSecond := time.Now(), map[int]int{}
		for range n {
			wait := h.next(-1, now)
			if wait < heldFor/2 || wait > longest {
				t.Fatalf("one of %d waits %v", n, wait)
			}
			perSecond[int(wait/time.Second)]++
		}
		for second, many := range perSecond {
			if many > 110 && many > n/120 {
				t.Errorf("%d of %d come in second %d", many, n, second)
			}
		}
	}
	var h held
	if wait := h.next(3*time.Second, time.Now()); wait != 3*time.Second {
		t.Errorf("of a pause of 3s one waits %v", wait)
	}
}
