// Package bubble sleeps in the time of a bubble of testing/synctest, and nowhere else: a test that
// waits for real time waits too long on a fast machine, and not long enough on a slow one.
package bubble

import "time"

// realFrom is when the time of a process can be real: that of a bubble begins with the year 2000.
var realFrom = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)

// Sleep passes the time d of the bubble that the caller runs in. Outside of a bubble it panics: what
// runs there waits for what it expects. It may be called from many goroutines.
func Sleep(d time.Duration) {
	if now := time.Now(); !now.Before(realFrom) {
		panic("bubble: Sleep outside of a bubble; wait for the event, or run in testing/synctest")
	}
	time.Sleep(d)
}
