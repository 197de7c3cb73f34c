package lease

import "time"

// pulse tells from the beats of a ticker whether this process has run all the time.
type pulse struct {
	period time.Duration
	last   time.Time
	gap    time.Time // when one was seen to have ended
}

// calm is how many periods after a gap what waited in the process's buffers has surely
// been looked at: half an ack wait.
const calm = 5

func newPulse(period time.Duration, now time.Time) *pulse { return &pulse{period: period, last: now} }

// beat reports whether the process ran, and has had time to empty its buffers since it
// last did not.
func (p *pulse) beat(now time.Time) bool {
	if now.Sub(p.last) >= 2*p.period {
		p.gap = now
	}
	p.last = now
	return now.Sub(p.gap) >= calm*p.period
}
