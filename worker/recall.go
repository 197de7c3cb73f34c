package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
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
		d.record.Unknown = rec.Unknown || rec.Started > 0 && d.message.Lane != contract.LaneRequest
		return nil
	}
	if rec.Ended+1 == d.delivered {
		return nil
	}
	// Somebody had it and did not come back.
	d.record.Unknown = d.message.Lane != contract.LaneRequest
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
func (w *Worker) lookUp(p *puller, list []*delivery) {
	old := list[:0:0]
	for _, d := range list {
		if d.older && d.delivered <= 1 {
			old = append(old, d)
		}
	}
	if len(old) < 2 {
		return
	}
	_, err := w.notes.First(p.ctx, w.ledger.Subjects(p.source))
	for _, d := range old {
		d.unnoted = errors.Is(err, heads.ErrNone)
	}
}

// inOrder settles a message held if an operator decided so, or if it waits behind a dead letter
// of its token. Only the head of a token goes, so whatever its predecessor noted can be read.
func (w *Worker) inOrder(d *delivery) (decided bool) {
	at, ok := dlq.PlaceOf(&d.message)
	if !ok {
		return false
	}
	if !d.first() || w.mayBeDecided(d.message) {
		byHand, err := w.ledger.HeldByHand(d.ctx, d.message)
		if err != nil {
			return d.decide(w.postpone(d, err))
		}
		if byHand {
			return d.decide(verdict.Verdict{Settlement: outbox.Held, Unknown: d.record.Unknown, Text: heldByHandText(d.record)})
		}
	}
	if !w.config.HoldAfterDeadLetter {
		return false
	}
	held, err := w.tokens.Load(d.ctx, at.Source, at.Token)
	if err != nil {
		return d.decide(w.postpone(d, err))
	}
	d.marked = held.Waits(at.Position)
	if by, blocked := held.Blocks(at); blocked {
		return d.decide(verdict.Verdict{Settlement: outbox.Held, Text: heldBehindText(held, by)})
	}
	return false
}

// mayBeDecided reports whether an operator had decided about a message when the worker last
// looked in the ledger.
func (w *Worker) mayBeDecided(m outbox.Message) bool {
	return w.decided.Load().About(m)
}

// learnDecided reads the decisions of operators from the ledger.
func (w *Worker) learnDecided(ctx context.Context) {
	if decided, err := w.ledger.Decisions(ctx); err == nil {
		w.decided.Store(decided)
	}
}

// decidedMeanwhile is learnDecided for a puller whose pause has ended, so that a decision about a
// message of a paused source holds when the source is resumed right after it. Pullers whose pauses
// end together look once.
func (w *Worker) decidedMeanwhile(p *puller) {
	if p.lane == contract.LaneRequest {
		return
	}
	reopened := time.Now()
	w.deciding.Lock()
	defer w.deciding.Unlock()
	if w.decidedAt.After(reopened) {
		return
	}
	w.decidedAt = time.Now()
	ctx, cancel := context.WithTimeout(p.ctx, backlogTimeout)
	defer cancel()
	w.learnDecided(ctx)
}

// heldBehindText says what a message waits behind. by is the number of the first dead letter, 0
// if it is not known.
func heldBehindText(held dlq.HeldToken, by uint64) string {
	switch {
	case held.Damaged:
		return "not sent: what waits behind a dead letter in its order is not known, because the note of it was damaged; " +
			"replay the dead letters of its order together"
	case by == 0:
		return fmt.Sprintf("not sent: earlier messages of its order, behind number %d, are dead letters; replay them together, "+
			"or discard those that cannot be sent and replay the rest", held.Through)
	}
	return fmt.Sprintf("not sent: an earlier message of its order, number %d, is a dead letter; replay them together, "+
		"or discard that one if it cannot be sent and replay the rest", by)
}

func heldByHandText(r ledger.Record) string {
	text := "held by an operator"
	if r.Attempts > 0 {
		text += " after " + verdict.CountedAttempts(r.Attempts)
	}
	if r.Error != "" {
		text += "; the last: " + r.Error
	}
	return text
}
