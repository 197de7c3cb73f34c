package auth

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	// skewWarn is the skew that is worth a warning. Redox allows 10 s for iat.
	skewWarn = 5 * time.Second
	// skewFail is the skew at which a [KeyCheck] fails.
	skewFail = time.Minute
	// maxSkewTrip bounds the round trip of a measurement that says anything.
	maxSkewTrip = 10 * time.Second
)

// skewMeter remembers how far the local clock is ahead of the server's. The zero
// value knows nothing yet. Safe for concurrent use.
type skewMeter struct {
	known  atomic.Bool
	ahead  atomic.Int64 // nanoseconds, positive: local clock ahead
	warned atomic.Bool
}

// measure compares the Date of an answer with the middle of its round trip. A
// Date has whole seconds, so half a second is added to it on average.
func (m *skewMeter) measure(begun, ended, at time.Time) (time.Duration, bool) {
	trip := ended.Sub(begun)
	if at.IsZero() || trip > maxSkewTrip {
		return 0, false
	}
	// Round strips the monotonic reading: the wall clocks are what differ.
	ahead := begun.Round(0).Add(trip / 2).Sub(at.Add(time.Second / 2)).Round(time.Millisecond)
	m.ahead.Store(int64(ahead))
	m.known.Store(true)
	return ahead, true
}

// value returns the last measurement and whether there was one.
func (m *skewMeter) value() (time.Duration, bool) {
	return time.Duration(m.ahead.Load()), m.known.Load()
}

// log says when the clock gets bad, and when it is good again, once each.
func (m *skewMeter) log(ctx context.Context, l *slog.Logger, ahead time.Duration) {
	bad := ahead.Abs() >= skewWarn
	if !m.warned.CompareAndSwap(!bad, bad) {
		return
	}
	if bad {
		l.WarnContext(ctx, "this host's clock differs from the token endpoint's: set it", "skew", ahead)
		return
	}
	l.InfoContext(ctx, "this host's clock agrees with the token endpoint's again", "skew", ahead)
}

// skewText words a skew for a person.
func skewText(ahead time.Duration) string {
	if ahead < 0 {
		return (-ahead).Round(time.Second).String() + " behind the server's"
	}
	return ahead.Round(time.Second).String() + " ahead of the server's"
}
