package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

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

// decidedMeanwhile is learnDecided for a lane whose pause has ended, so that a decision about a
// message of a paused source holds when the source is resumed right after it. Lanes whose pauses
// end together look once.
func (w *Worker) decidedMeanwhile(l *lane) {
	if l.kind == outbox.LaneRequest {
		return
	}
	reopened := time.Now()
	w.deciding.Lock()
	defer w.deciding.Unlock()
	if w.decidedAt.After(reopened) {
		return
	}
	w.decidedAt = time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, backlogTimeout)
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
