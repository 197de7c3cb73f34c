package worker

import (
	"context"
	"time"

	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/failpoint"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// giveBack notes the end of the delivery in the ledger and hands the message back, to be
// delivered again after the verdict's delay. It does so only while the lease holds: a late
// negative ack would take the message away from the worker that has it now.
func (w *Worker) giveBack(d *delivery) {
	v := &d.verdict
	if v.jittered {
		v.delay = backoff.FullJitter(v.delay)
	}
	rec := d.ended(time.Now())
	// Otherwise the record is another worker's by now, could not be read and must not be
	// overwritten, or is of a message that breaks the contract and whose record nobody reads.
	if w.keeper.Holds(d.lease) && !d.blind && d.contract == nil {
		w.noteEnd(d, rec)
		failpoint.At("note")
	}
	outlived := w.outlived(d)
	if w.keeper.Release(d.lease) && !outlived {
		ack.Back(w.conn, d.msg.reply, v.delay)
		w.comesAgain(d.lane, v.delay)
	}
	kind := EventRetry
	if v.action == wait {
		kind = EventWait
	}
	w.report(d, kind)
}

// ended is the record of a message that is handed back.
func (d *delivery) ended(now time.Time) ledger.Record {
	v, rec := &d.verdict, d.record
	rec.Age, rec.Since = rec.AgeAt(d.began), time.Time{}
	rec.Ended, rec.Next = d.delivered, now.Add(v.delay)
	if d.asked { // else what is suspected stays suspected
		rec.Started, rec.Alone, rec.Intent = 0, 0, false
	}
	if v.action != retry {
		return rec
	}
	rec.Attempts++
	rec.Status, rec.Error = v.answer.Status, v.err
	rec.Unknown = rec.Unknown || v.unknown
	if v.excused {
		rec.Excused++
	} else {
		rec.Age, rec.Since = rec.Age+d.took, now
	}
	return rec
}

// noteEnd notes an attempt that has ended. Under hold it tries for as long as the lease holds: an
// intent that remains has the message settled held, whatever is known of it.
func (w *Worker) noteEnd(d *delivery, rec ledger.Record) {
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
		err := w.ledger.Store(ctx, d.message, rec)
		cancel()
		if err == nil {
			w.troubles.ledger.Worked(itself)
			return
		}
		w.troubles.ledger.Failed(itself, "an attempt could not be noted in the ledger", err, "message", d.message.ID, "source", d.message.Source)
		if !d.hold || !d.noted || !w.keeper.Holds(d.lease) || w.settling.Err() != nil {
			return
		}
		backoff.Sleep(w.settling, backoff.Exponential(100*time.Millisecond, 5*time.Second, try))
	}
}

// refuse hands back a message that was not admitted, because its source was paused or the worker
// is stopping. Another worker may take it at once, or after a delay while the message's own
// scopes are paused; the ledger tells that worker that the message was not sent.
func (w *Worker) refuse(d *delivery, delay time.Duration) {
	defer d.cancel(nil)
	if w.conn.IsConnected() && d.contract == nil {
		ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
		if err := w.noteUnsent(ctx, d, delay); err != nil {
			w.log.Debug("an unsent message could not be noted in the ledger", "message", d.message.ID, "source", d.message.Source, "error", err)
		}
		cancel()
	}
	if w.keeper.Release(d.lease) {
		ack.Back(w.conn, d.msg.reply, delay)
		w.comesAgain(d.lane, delay)
	}
}

// comesAgain has the lane pull again when a message that was handed back is due.
func (w *Worker) comesAgain(l *lane, delay time.Duration) {
	if delay <= w.config.Retry.Max { // what comes later is found in time without
		time.AfterFunc(delay+comesAfter, func() { w.open(l) })
	}
}

// comesAfter is the delay with which the server delivers a message that is due.
const comesAfter = 15 * time.Millisecond

// noteUnsent notes that a message was not sent, so that its next delivery does not count as a
// possible duplicate.
func (w *Worker) noteUnsent(ctx context.Context, d *delivery, delay time.Duration) error {
	next := time.Time{}
	if delay > 0 {
		next = w.clock.Now().Add(delay)
	}
	if d.delivered == 1 {
		return w.ledger.Create(ctx, d.message, ledger.Record{Ended: 1, Next: next})
	}
	rec, _, err := w.ledger.Load(ctx, d.message)
	if err != nil || rec.Ended+1 != d.delivered {
		return err // what is suspected stays suspected
	}
	rec.Ended, rec.Next = d.delivered, next
	return w.ledger.Store(ctx, d.message, rec)
}

// wake has followers that were handed back delivered now, by a negative ack without a delay. It
// waits for the server to confirm the last one: a pull that overtakes the negative ack brings
// nothing.
func (w *Worker) wake(l *lane, list []handedBack) {
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
	defer cancel()
	for i, b := range list {
		at := ack.Delivery{Stream: w.config.Prefix.OutStream(), Consumer: l.consumer, Sequence: b.sequence, Consumed: b.delivery}
		_ = at.Wake(ctx, w.conn, i == len(list)-1) // otherwise it comes at its time
	}
	w.open(l)
}
