package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
)

// lateLook is how long after its time a log is looked at for the last time. What more logs come
// than can be looked up is given up then, rather than removed from the stream unsaid.
const lateLook = 5 * time.Minute

// maxApart is the longest time between two looks at a log.
const maxApart = time.Hour

// handle looks at one log, if it is time, and settles its message.
func (r *Reconciler) handle(ctx context.Context, msg jetstream.Msg, p *patience) {
	var e entry
	source, ok := strings.CutPrefix(msg.Subject(), r.config.Prefix.ReconcileSubject(""))
	if err := json.Unmarshal(msg.Data(), &e); err != nil || !ok || e.Log == "" {
		r.log.Error("an entry to follow is damaged; it is dropped", "subject", msg.Subject())
		r.metrics.dropped.Inc()
		_ = msg.Ack() // should it come again, so will this
		return
	}
	meta, err := msg.Metadata()
	if err != nil {
		return // it comes again after the ack wait
	}
	if meta.Timestamp.Before(e.At) { // the clock of the worker was wrong: it is stored afterwards
		e.At = meta.Timestamp
	}
	// What comes again has waited, whatever the clock of this host says.
	if wait := r.config.Interval - time.Since(e.At); wait > 0 && meta.NumDelivered == 1 {
		_ = msg.NakWithDelay(min(wait, r.config.Interval)) // if it is lost, the log comes after the ack wait
		return
	}
	if time.Since(e.At) > r.config.GiveUp+lateLook {
		r.publishEvent(ctx, msg, source, e, Unconfirmed, platform.Log{ID: e.Log})
		return
	}
	if !p.wait(ctx) {
		_ = msg.Nak()
		return
	}
	found, err := r.looked(ctx, e.Log)
	switch {
	case ctx.Err() != nil:
		_ = msg.Nak()
	case errors.Is(err, platform.ErrNoLog), err == nil && !found.Status.Final():
		p.failures = 0
		r.metrics.lookup(found.Status)
		r.again(ctx, msg, source, e, found)
	case platform.OneLog(err):
		p.failures = 0
		r.metrics.errors.Inc()
		r.log.Warn("a log cannot be looked up; the others are", "log", e.Log, "error", err)
		r.again(ctx, msg, source, e, found)
	case err != nil:
		r.metrics.errors.Inc()
		r.pause(ctx, msg, source, e, p.fail(err), err)
	default:
		p.failures = 0
		r.metrics.lookup(found.Status)
		r.end(ctx, msg, source, e, found)
	}
}

// looked calls Look. A panic is an error like any other; its value may hold anything.
func (r *Reconciler) looked(ctx context.Context, id string) (found platform.Log, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the lookup panicked with a %T", p)
		}
	}()
	return r.look(ctx, id)
}

// pause hands the log back, unless it is too old, and waits: what keeps one log from being
// looked up keeps all.
func (r *Reconciler) pause(ctx context.Context, msg jetstream.Msg, source string, e entry, d time.Duration, err error) {
	r.log.Warn("a log could not be looked up; pausing", "log", e.Log, "for", d, "error", err)
	if time.Since(e.At) >= r.config.GiveUp {
		r.publishEvent(ctx, msg, source, e, Unconfirmed, platform.Log{ID: e.Log})
	} else {
		_ = msg.NakWithDelay(d)
	}
	backoff.Sleep(ctx, d)
}

// again hands back a log that has not come to its end, unless it is too old.
func (r *Reconciler) again(ctx context.Context, msg jetstream.Msg, source string, e entry, found platform.Log) {
	if time.Since(e.At) >= r.config.GiveUp {
		found.ID = e.Log
		r.publishEvent(ctx, msg, source, e, Unconfirmed, found)
		return
	}
	_ = msg.NakWithDelay(r.delay(e))
}

// delay is how long to wait before the next look: as long as the log is old, so that each
// look comes at twice the age of the one before; a tenth of it is by chance.
func (r *Reconciler) delay(e entry) time.Duration {
	age := time.Since(e.At)
	d := min(max(age, r.config.Interval), maxApart)
	d -= time.Duration(rand.Int64N(int64(d)/10 + 1))
	if left := r.config.GiveUp - age; left > 0 && d > left {
		d = left
	}
	return d
}

// end settles a log that has come to its end.
func (r *Reconciler) end(ctx context.Context, msg jetstream.Msg, source string, e entry, found platform.Log) {
	if found.Status == platform.Failed {
		r.publishEvent(ctx, msg, source, e, Failed, found)
		return
	}
	r.settle(ctx, msg, string(found.Status))
}

// settle takes the log out of the stream. If that fails it is looked up once more.
func (r *Reconciler) settle(ctx context.Context, msg jetstream.Msg, outcome string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), natsTimeout)
	defer cancel()
	if err := msg.DoubleAck(ctx); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		r.log.Debug("acknowledging a log failed; it will be looked up again", "error", err)
		return
	}
	r.metrics.outcome(outcome)
}
