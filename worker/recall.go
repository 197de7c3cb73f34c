package worker

import (
	"context"
	"errors"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/heads"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// recall reads the record of a message that may have been delivered before. Under hold it always
// does: a server that was killed may have forgotten a delivery.
func (w *Worker) recall(d *delivery) error {
	if d.contract != nil || (d.first() || d.unnoted) && !d.hold {
		return nil
	}
	rec, revision, err := w.ledger.Load(d.ctx, d.message)
	if errors.Is(err, ledger.ErrDamaged) {
		w.log.Warn("what the ledger knew of a message cannot be read: the message counts as possibly sent", "message", d.message.ID, "source", d.message.Source, "error", err)
		rec, err = ledger.Damaged(d.message), nil
	}
	if err == nil {
		rec, err = w.unremembered(d, rec)
	}
	if d.blind = err != nil; d.blind {
		return err
	}
	w.troubles.ledger.Worked(itself)
	d.record, d.revision = rec, revision
	if d.delivered <= 1 { // what ended did so by another count
		d.record.Ended = 0
		d.record.Unknown = rec.Unknown || rec.Started > 0 && d.message.Lane != outbox.LaneRequest
		return nil
	}
	if rec.Ended+1 == d.delivered {
		return nil
	}
	// Somebody had it and did not come back.
	d.record.Unknown = d.message.Lane != outbox.LaneRequest
	if rec == (ledger.Record{}) {
		d.record.Started = 1
	}
	return nil
}

// postpone is the verdict about a message that waits because NATS did not let the worker read or
// write what it must before sending.
func (w *Worker) postpone(d *delivery, err error) verdict.Verdict {
	if errors.Is(causeOf(d.ctx), ErrLeaseLost) {
		return verdict.Verdict{Action: verdict.Abandon, Text: "lease lost"}
	}
	w.troubles.ledger.Failed(itself, "messages wait: their state could not be read from or written to NATS", err,
		"message", d.message.ID, "source", d.message.Source)
	return verdict.Verdict{Action: verdict.Wait, Delay: w.config.Retry.Initial, Text: "NATS did not answer"}
}

// remember notes in the ledger since when it remembers everything. It is called when the worker
// starts.
func (w *Worker) remember(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if _, err := w.ledger.Born(ctx); err != nil {
		w.log.Debug("since when the ledger remembers everything is not known", "error", err)
	}
}

// unremembered returns the record of a message that counts as possibly sent, if the message is
// under hold, somebody had it, and the ledger has lost what it knew of it. Otherwise it returns
// rec.
func (w *Worker) unremembered(d *delivery, rec ledger.Record) (ledger.Record, error) {
	if rec != (ledger.Record{}) || d.first() || !d.hold && !d.unsure {
		return rec, nil
	}
	forgot, err := w.ledger.Forgot(d.ctx, d.message)
	if err != nil || !forgot {
		return rec, err
	}
	w.log.Warn("the ledger was deleted, purged or made anew since the message was stored, and the message was in somebody's hand: it counts as possibly sent",
		"message", d.message.ID, "source", d.message.Source, "sequence", d.message.Sequence)
	return ledger.Damaged(d.message), nil
}

// lookUp asks once whether the ledger has anything about messages of a source that were stored
// before their consumer was made, as all of a backlog are. Each would be looked up otherwise.
func (w *Worker) lookUp(l *lane, list []*delivery) {
	old := list[:0:0]
	for _, d := range list {
		if d.older && d.delivered <= 1 {
			old = append(old, d)
		}
	}
	if len(old) < 2 {
		return
	}
	_, err := w.notes.First(l.ctx, w.ledger.Subjects(l.source))
	for _, d := range old {
		d.unnoted = errors.Is(err, heads.ErrNone)
	}
}
