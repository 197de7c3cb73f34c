package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// turn gives a suspect its turn. Without one it is decided that it comes again.
func (w *Worker) turn(d *delivery) (decided bool) {
	lost := d.record.Started
	if lost == 0 || w.config.Retry.PoisonAfter < 1 {
		return false
	}
	turn, wait, why := w.suspects.Take(lease.Key{Sequence: d.message.Sequence, Stored: d.message.Stored.UnixNano()}, lost, d.record.Alone)
	if why != "" {
		return d.decide(verdict{action: leave, delay: wait, err: why})
	}
	d.turn = turn
	return false
}

// poisonous is the verdict about a message that was lost alone so often.
func poisonous(rec *ledger.Record) verdict {
	return verdict{settlement: outbox.Poison, lost: rec.Started, err: fmt.Sprintf(
		"sent alone %d times in a row, and each time its worker was gone before the attempt ended: it may be killing its workers; it may have been sent %d times",
		rec.Alone, rec.Started+rec.Attempts)}
}

// alibi has the ledger know that a delivery came to no end because its lease was lost: this
// worker is alive, and the message is not to be suspected for it. Until NATS can be asked
// again that takes its time, for which nothing waits but Run.
func (w *Worker) alibi(d *delivery) {
	if d.contract != nil || !d.noted && d.delivered > 1 {
		return // nobody takes it for lost
	}
	m, alibi := d.message, ledger.Alibi{Noted: d.noted, Alone: d.noted && d.alone, Sent: d.verdict.unknown}
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
