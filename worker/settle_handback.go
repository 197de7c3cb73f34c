package worker

import (
	"context"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/failpoint"
	"github.com/redoxworker/redoxworker/worker/internal/heads"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// giveBack notes the end of the delivery in the ledger and hands the message back, to be
// delivered again after the verdict's delay. It does so only while the lease holds: a late
// negative ack would take the message away from the worker that has it now.
func (w *Worker) giveBack(d *delivery) {
	v := &d.verdict
	if v.Jittered {
		v.Delay = backoff.FullJitter(v.Delay)
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
		ack.Back(w.conn, d.msg.reply, v.Delay)
		w.comesAgain(d.puller, v.Delay)
	}
	kind := EventRetry
	if v.Action == verdict.Wait {
		kind = EventWait
	}
	w.report(d, kind)
}

// ended is the record of a message that is handed back.
func (d *delivery) ended(now time.Time) ledger.Record {
	v, rec := &d.verdict, d.record
	rec.Age, rec.Since = rec.AgeAt(d.began), time.Time{}
	rec.Ended, rec.Next = d.delivered, now.Add(v.Delay)
	if d.asked { // else what is suspected stays suspected
		rec.Started, rec.Alone, rec.Intent = 0, 0, false
	}
	if v.Action != verdict.Retry {
		return rec
	}
	rec.Attempts++
	rec.Status, rec.Error = v.Answer.Status, v.Text
	rec.Unknown = rec.Unknown || v.Unknown
	if v.Excused {
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
		w.comesAgain(d.puller, delay)
	}
}

// putBack gives what a puller has in hand to other workers.
func (w *Worker) putBack(p *puller) {
	var all sync.WaitGroup
	for _, d := range p.hand.GiveUp() {
		all.Go(func() { w.refuse(d, 0) })
	}
	all.Wait()
}

// comesAgain has the puller pull again when a message that was handed back is due.
func (w *Worker) comesAgain(p *puller, delay time.Duration) {
	if delay <= w.config.Retry.Max { // what comes later is found in time without
		time.AfterFunc(delay+heads.ComesAfter, func() { w.open(p) })
	}
}

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
	rec, revision, err := w.ledger.Load(ctx, d.message)
	if err != nil {
		return err
	}
	switch {
	case rec.Ended+1 == d.delivered:
		rec.Ended = d.delivered
	case rec == (ledger.Record{}): // what is suspected stays suspected, as in recall
		if forgot, err := w.ledger.Forgot(ctx, d.message); err != nil || forgot {
			return err
		}
		rec.Started = 1
	}
	rec.Age, rec.Since = rec.AgeAt(time.Now()), time.Time{} // what it waits for now makes it no older
	rec.Next = next
	err = w.ledger.Replace(ctx, d.message, rec, revision)
	if dlq.IsAlreadyStored(err) { // who has it by now says so
		return nil
	}
	return err
}

// wake has followers that were handed back delivered now, by a negative ack without a delay. It
// waits for the server to confirm the last one: a pull that overtakes the negative ack brings
// nothing.
func (w *Worker) wake(p *puller, list []heads.HandedBack) {
	if len(list) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
	defer cancel()
	for i, b := range list {
		at := ack.Delivery{Stream: w.config.Prefix.OutStream(), Consumer: p.consumer, Sequence: b.Sequence, Consumed: b.Delivery}
		_ = at.Wake(ctx, w.conn, i == len(list)-1) // otherwise it comes at its time
	}
	w.open(p)
}

// alibi has the ledger know that a delivery came to no end because its lease was lost: this
// worker is alive, and the message is not to be suspected for it. Until NATS can be asked
// again that takes its time, for which nothing waits but Run.
func (w *Worker) alibi(d *delivery) {
	if d.contract != nil || !d.noted && d.delivered > 1 {
		return // nobody takes it for lost
	}
	m, alibi := d.message, ledger.Alibi{Noted: d.noted, Alone: d.noted && d.alone, Sent: d.verdict.Unknown}
	m.Body = nil
	w.alibis.Go(func() {
		for tries := 1; w.settling.Err() == nil && tries < 20; tries++ {
			if w.conn.IsConnected() {
				ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
				err := w.ledger.Exonerate(ctx, m, alibi)
				cancel()
				if err == nil {
					return
				}
			} else {
				tries = 1
			}
			if w.pulling.Err() != nil {
				return
			}
			backoff.Sleep(w.pulling, backoff.Exponential(250*time.Millisecond, 5*time.Second, tries))
		}
	})
}
