package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/internal/heads"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// largeBody is the size of a body from which on the worker asks whether the message is alone,
// instead of having the leader send the first message.
const largeBody = 32 << 10

// alone reports whether a message is the only one of its subject, according to the state of the
// queue.
func (w *Worker) alone(ctx context.Context, subject string) bool {
	queue := w.queue.Load()
	if queue == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	info, err := (*queue).Info(ctx, jetstream.WithSubjectFilter(subject))
	return err == nil && info.State.Subjects[subject] == 1
}

// placeOf asks for the place of an ordered message. It also returns the sequence of the head.
func (w *Worker) placeOf(ctx context.Context, d *delivery) (heads.Place, uint64, error) {
	if len(d.msg.body) > largeBody && w.alone(ctx, d.msg.subject) {
		return heads.Head, d.message.Sequence, nil
	}
	first, err := w.heads.First(ctx, d.msg.subject)
	switch {
	case errors.Is(err, heads.ErrNone):
		return heads.Gone, 0, nil
	case err != nil:
		return heads.Behind, 0, err
	case first == d.message.Sequence:
		return heads.Head, first, nil
	case first > d.message.Sequence:
		return heads.Gone, first, nil
	}
	return heads.Behind, first, nil
}

// Subject, Sequence, Delivered, Consumed and Size implement [heads.Delivery].
func (d *delivery) Subject() string   { return d.msg.subject }
func (d *delivery) Sequence() uint64  { return d.message.Sequence }
func (d *delivery) Delivered() uint64 { return d.delivered }
func (d *delivery) Consumed() uint64  { return d.consumed }
func (d *delivery) Size() int         { return len(d.msg.body) }

// run delivers an admitted message, then those of its token that are in hand, one after the
// other. Each of them was found to be the head when its turn came.
func (w *Worker) run(d *delivery) {
	if !d.ordered() {
		w.deliver(d)
		return
	}
	if w.inTurn(d) {
		w.runHead(d)
	}
}

// runHead delivers the head of a token, then those behind it that are in hand.
func (w *Worker) runHead(d *delivery) {
	for d != nil {
		d = w.deliverHead(d)
	}
}

// deliverHead delivers the head of a token. It returns the next one if that is in hand. If the
// Deliverer ends the goroutine, the others are delivered again.
func (w *Worker) deliverHead(d *delivery) (next *delivery) {
	returned := false
	defer func() {
		if !returned {
			w.lines.Leave(d, false, d.verdict.Delay, time.Now())
			w.handBackAll(w.lines.Drop(d.msg.subject))
		}
	}()
	w.deliver(d)
	returned = true
	return w.successor(d)
}

// inTurn reports whether an ordered message may go. A message that may not is kept back, without
// its slot.
func (w *Worker) inTurn(d *delivery) bool {
	at, known := w.lines.Arrive(d, time.Now())
	var err error
	if !known {
		var first uint64
		if at, first, err = w.placeOf(d.ctx, d); err == nil {
			w.lines.Learn(d, at, first, time.Now())
		}
	}
	switch {
	case err != nil:
		w.unadmit(d)
		w.troubles.ledger.Failed(itself, "messages wait: their state could not be read from or written to NATS", err, "message", d.message.ID, "source", d.message.Source)
		w.refuse(d, w.config.Retry.Initial)
	case at == heads.Head:
		return true
	case at == heads.Gone:
		w.unadmit(d)
		w.keeper.Forget(d.lease)
		d.cancel(nil)
	case at == heads.Behind:
		w.unadmit(d)
		w.keepBack(d)
	}
	return false
}

// unadmit releases what an admitted message holds that will not be sent.
func (w *Worker) unadmit(d *delivery) {
	d.permit.Drop()
	d.grant.end(false)
	w.slots.Release(d.puller.source, d.puller.class())
}

// keepBack keeps a follower in hand while its head is in hand, or hands it back.
func (w *Worker) keepBack(d *delivery) {
	instead, first := w.lines.Park(d, time.Now())
	if first {
		w.sayWaits(d)
	}
	if instead != nil {
		w.handBack(instead)
	}
}

// handBack hands a follower back until about its turn. If its turn may come at any moment it then
// asks for the head once more: whoever settled the head meanwhile may have woken the follower
// before it was handed back.
func (w *Worker) handBack(d *delivery) {
	delay, near := w.lines.Back(d, time.Now())
	w.refuse(d, delay)
	if !near || w.pulling.Err() != nil {
		return
	}
	if first, err := w.heads.First(w.settling, d.msg.subject); err == nil && first == d.message.Sequence {
		w.wake(d.puller, []heads.HandedBack{{Sequence: first, Delivery: d.consumed}})
	}
}

// successor returns the message that goes after a delivered one of its token, ready to be run;
// nil if it is not in hand. If the message is settled and others are known to wait, it asks for
// the new head at once, and tells the other workers if that is not here.
func (w *Worker) successor(d *delivery) *delivery {
	settled := d.verdict.Action == verdict.Settled && d.over
	crowd := w.lines.Leave(d, settled, d.verdict.Delay, time.Now())
	if !settled || w.pulling.Err() != nil {
		w.handBackAll(w.lines.Drop(d.msg.subject))
		return nil
	}
	if !crowd && d.delivered <= 1 {
		return nil
	}
	first, err := w.heads.First(w.settling, d.msg.subject)
	if err != nil {
		if errors.Is(err, heads.ErrNone) {
			w.lines.Forget(d.msg.subject)
		}
		w.handBackAll(w.lines.Drop(d.msg.subject))
		return nil
	}
	next, here := w.headIs(d.puller, d.msg.subject, first)
	if next == nil {
		w.tell(d.puller, d.msg.subject, first, false)
	}
	if !here {
		w.lines.Owe(d.msg.subject, first, time.Now())
	}
	w.watch(d.puller, d.msg.subject)
	return next
}

// headIs notes who the head of a token is. It returns the head if that is in hand, ready to be
// run. here reports whether the head is in hand or was woken.
func (w *Worker) headIs(p *puller, subject string, first uint64) (next *delivery, here bool) {
	next, gone, woken := w.lines.Next(subject, first, time.Now())
	w.wake(p, woken)
	for _, d := range gone {
		w.keeper.Forget(d.lease)
		d.cancel(nil)
	}
	if next == nil {
		return nil, len(woken) > 0 && woken[0].Sequence == first
	}
	if !w.readmit(next) {
		w.lines.Leave(next, false, next.verdict.Delay, time.Now())
		w.handBackAll(append(w.lines.Drop(subject), next))
		return nil, true
	}
	return next, true
}

// scarceWait is how long a follower in hand waits for what it needs to be sent before it is
// handed back.
const scarceWait = 2 * time.Second

// readmit acquires what a follower in hand needs to be sent.
func (w *Worker) readmit(d *delivery) bool {
	p := d.puller
	ctx, cancel := context.WithTimeout(w.pulling, scarceWait)
	defer cancel()
	if d.permit, _ = w.breaker.TryAdmit(p.source, w.ownScopes(d)...); d.permit == nil {
		return false
	}
	if limiter := w.config.Limiter; limiter != nil {
		done, err := limiter.Acquire(ctx, p.source, p.lane)
		if err != nil {
			d.permit.Drop()
			return false
		}
		d.grant.done = done
	}
	if w.slots.Acquire(ctx, p.source, p.class(), 1) == 0 {
		d.grant.end(false)
		d.permit.Drop()
		return false
	}
	return true
}

// handBackAll hands back followers that were in hand.
func (w *Worker) handBackAll(list []*delivery) {
	for _, d := range list {
		w.handBack(d)
	}
}
