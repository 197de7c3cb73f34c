package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// Reconciler follows Redox's logs. Make one with [New]; those of all processes share the
// work.
type Reconciler struct {
	js      jetstream.JetStream
	look    Look
	config  Config
	log     *slog.Logger
	metrics *metrics
	queue   chan Delivered
	said    sync.Map // what of a source, as unfollowed has it, Redox names no logs for
}

// Delivered is a message that Redox took.
type Delivered struct {
	Source   string
	Kind     outbox.Kind // empty means data-model
	Message  string      // its id
	Sequence uint64      // in REDOX_OUT
	LogIDs   []string    // none: it cannot be followed, which is counted and said
	At       time.Time   // when Redox took it; now, if zero
}

// maxQueue is how many messages may wait to be stored: some seconds of the fastest traffic.
const maxQueue = 4096

// Follow has the logs of a message followed. It never blocks, and is safe for concurrent
// use, before and during Run. It keeps LogIDs: do not change them.
func (r *Reconciler) Follow(d Delivered) {
	if d.At.IsZero() {
		d.At = time.Now()
	}
	if len(d.LogIDs) == 0 {
		r.unfollowed(d)
		return
	}
	select {
	case r.queue <- d:
	default:
		r.metrics.dropped.Add(float64(len(d.LogIDs)))
	}
}

// Run stores what Follow is given and looks logs up, until ctx ends. It then stores what is
// left, for 5 s at most, hands back the log it had in hand, and returns when both of its
// goroutines have ended. Lost connections, a missing stream and an unreachable Redox do not
// end it.
func (r *Reconciler) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { r.store(ctx) })
	both.Go(func() { r.pull(ctx) })
	both.Wait()
}
