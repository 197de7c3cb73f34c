package quota

import "time"

// drift is how fast two clocks may run apart: 200 µs in a second, well over what a
// crystal or NTP makes of it.
const drift = 200e-6

// clock tells the time of the NATS server from this process's own monotonic clock, as two
// bounds. A measurement is one question and its answer: the server's time lies between.
type clock struct {
	start   time.Time
	lo, hi  int64 // bounds of the server's time (Unix, nanoseconds) less the time since start
	at      int64 // since start, when the bounds were last brought up to date
	known   bool
	stepped int64 // since start, until when a step of the server's clock is remembered
}

func newClock() *clock { return &clock{start: time.Now()} }

// measure takes in that the server said it was the given time, between two local moments.
// Measurements narrow the bounds down. One that contradicts them means that the server's
// clock was set, or that another server answers: both times are then taken for possible
// for as long as moments of the old one matter.
func (c *clock) measure(server, asked, answered time.Time, remember time.Duration) {
	now := int64(answered.Sub(c.start))
	lo, hi := server.UnixNano()-now, server.UnixNano()-int64(asked.Sub(c.start))
	if !c.known {
		c.lo, c.hi, c.at, c.known = lo, hi, now, true
		return
	}
	slack := int64(drift * float64(now-c.at))
	oldLo, oldHi := c.lo-slack, c.hi+slack
	c.at = now
	switch {
	case now < c.stepped:
		c.lo, c.hi = min(lo, oldLo), max(hi, oldHi)
	case c.stepped > 0:
		c.lo, c.hi, c.stepped = lo, hi, 0
	case lo > oldHi || hi < oldLo:
		c.lo, c.hi, c.stepped = min(lo, oldLo), max(hi, oldHi), now+int64(remember)
	default:
		c.lo, c.hi = max(lo, oldLo), min(hi, oldHi)
	}
}

// moment is a span that the server's time lies in.
type moment struct{ lo, hi int64 }

// now in the server's time.
func (c *clock) now() moment {
	since := int64(time.Since(c.start))
	slack := int64(drift * float64(since-c.at))
	return moment{lo: since + c.lo - slack, hi: since + c.hi + slack}
}
