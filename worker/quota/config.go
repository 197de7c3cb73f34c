package quota

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Config of a [Governor]. The zero value works: Redox's limit, shared by the fleet.
type Config struct {
	// Requests allowed in each window. Default 7500 (Redox, Error handling).
	Requests int
	// Per is the length of the rolling window. Default 5m; at least 1s.
	Per time.Duration
	// Group names the egress address that the limit belongs to. Each group has a limit
	// of its own. Default "default".
	Group string
	// Reserve is the share of the limit that is kept for REQUESTs, from 0 to less than 1.
	// A burst of SENDs leaves it free, and a sixteenth of the rest for sources that have sent
	// little. What SENDs use of it afterwards, while no REQUEST waits, is no more than what
	// lets REQUESTs go at this share of the rate until more is free. A twentieth of it is
	// never used by SENDs, so that a burst of REQUESTs finds grants that are free.
	Reserve float64
	// Prefix names the bucket. Default "redox", which makes it REDOX_STATE.
	Prefix contract.Prefix
	// ID names this worker in the book. Default host name and process id.
	ID string
	// Logger; nil discards.
	Logger *slog.Logger
	// Registerer for the redoxworker_quota_* metrics; nil means none.
	Registerer prometheus.Registerer
}

// WithDefaults returns c with every default filled in.
func (c Config) WithDefaults() Config {
	if c.Requests == 0 {
		c.Requests = 7500
	}
	if c.Per == 0 {
		c.Per = 5 * time.Minute
	}
	if c.Group == "" {
		c.Group = "default"
	}
	if c.ID == "" {
		host, _ := os.Hostname()
		c.ID = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every problem of c, each named by its field. It expects defaults
// filled in.
func (c Config) Validate() error {
	var errs []error
	bad := func(cond bool, format string, args ...any) {
		if cond {
			errs = append(errs, fmt.Errorf("quota: "+format, args...))
		}
	}
	bad(c.Requests < 1 || c.Requests > maxRequests, "Requests: %d; use 1 to %d", c.Requests, maxRequests)
	bad(c.Per < time.Second, "Per: %v; use 1s or more", c.Per)
	bad(!(c.Reserve >= 0 && c.Reserve < 1), "Reserve: %v; use 0 or more and less than 1", c.Reserve)
	if err := contract.CheckSource(c.Group); err != nil {
		errs = append(errs, fmt.Errorf("quota: Group: %q is not a name; use 1 to 64 of a-z, 0-9 and -", c.Group))
	}
	return errors.Join(errs...)
}

// Bounds of what follows from the limits.
const (
	maxTurn   = time.Second      // between two turns of a worker at the book
	maxMargin = 10 * time.Second // between the grant of a request and its arrival
	maxIdle   = 4096             // grants that an idle worker keeps at hand
	grains    = 256              // moments of a window that the book tells apart
)

// limits are the settings with all that follows from them. Moments and lengths are in
// nanoseconds, moments of the NATS server's time.
type limits struct {
	requests int
	per      int64
	window   int64 // per, and a thousandth for clocks that run at different speeds
	interval int64 // between two grants when all are used
	turn     int64 // between two turns of a worker
	horizon  int64 // how far ahead grants are allotted
	slack    int64 // how far ahead grants are mostly allotted, so that REQUESTs find few in the book
	life     int64 // of an allotment that is not renewed
	margin   int64 // how long after its grant a request may arrive, of a worker that is not heard of
	grain    int64 // to which moments of freedom are rounded up; whole milliseconds
	burst    int   // grants of the pace that idleness saves up
	reserve  int   // free grants that SENDs with a backlog never take; workers have as many at hand
	kept     int   // free grants that a burst leaves: the reserve, and a little for sources without a backlog
	due      int64 // between two of them, if they are to last for a window; 0: none are kept
	asked    int64 // the same of the reserve alone
}

func newLimits(requests int, per time.Duration, reserve float64) limits {
	turn := min(maxTurn, per/10)
	every := func(share float64) int64 {
		if n := int64(float64(requests) * share); n > 0 {
			return int64(per) / n
		}
		return 0
	}
	kept := reserve + (1-reserve)/16
	return limits{
		requests: requests,
		per:      int64(per),
		window:   int64(per + per/1000),
		interval: max(1, int64(per)/int64(requests)),
		turn:     int64(turn),
		horizon:  int64(2 * turn),
		slack:    int64(4 * turn),
		life:     int64(5 * turn),
		margin:   int64(min(maxMargin, per/5)),
		grain:    max(1, int64(per/time.Millisecond)/grains) * int64(time.Millisecond),
		burst:    max(1, requests/50),
		reserve:  int(float64(requests) * reserve / 40),
		kept:     int(float64(requests) * kept),
		due:      every(kept),
		asked:    every(reserve),
	}
}

// freeFrom is the moment from which a grant is free that was last in use at the given one.
func (l limits) freeFrom(used int64) int64 { return l.ceil(used + l.window) }

// ceil rounds a moment up to a whole grain.
func (l limits) ceil(moment int64) int64 { return (moment + l.grain - 1) / l.grain * l.grain }

// maxRequests bounds what is believed of a book: any limit is below, and sums stay small.
const maxRequests = 1 << 30

// Key of a group's book in the bucket.
func Key(group string) string { return "quota." + group }
