package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// place is the place of a message in the order of its token.
type place int

const (
	placeHead   place = iota // the first stored message of its subject: it goes
	placeBehind              // another is before it
	placeGone                // it is stored no more
)

// errNoHead is returned when the stream has no message of the subject.
var errNoHead = errors.New("no message of the subject is stored")

// firstStored returns the sequence of the first stored message of a subject of the queue. It asks
// the leader of the stream (STREAM.MSG.GET): a replica may still have a message that was
// acknowledged a moment ago, or not have a new one yet. A leader that was replaced and does not
// know it may name an older message: a follower then waits a moment for a message that is gone.
//
// The answer holds the whole message; see [Worker.alone].
func (w *Worker) firstStored(ctx context.Context, subject string) (uint64, error) {
	return w.firstOf(ctx, w.headSubject, subject)
}

// firstOf is firstStored for the stream that the given subject of the API reads from.
func (w *Worker) firstOf(ctx context.Context, from, subject string) (uint64, error) {
	ask, err := json.Marshal(map[string]any{"next_by_subj": subject, "no_hdr": true})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	answer, err := w.conn.RequestWithContext(ctx, from, ask)
	if err != nil {
		return 0, fmt.Errorf("asking for the first message of a subject: %w", err)
	}
	return readSequence(answer.Data)
}

// readSequence reads the sequence of an answer to STREAM.MSG.GET without its body.
func readSequence(answer []byte) (uint64, error) {
	d := jsontext.NewDecoder(bytes.NewReader(answer))
	for {
		token, err := d.ReadToken()
		if err != nil {
			return 0, fmt.Errorf("reading the answer about the first message of an order: %w", err)
		}
		switch depth := d.StackDepth(); {
		case depth == 0 && token.Kind() == '}':
			return 0, errors.New("the answer about the first message of an order names none")
		case token.Kind() != '"' || isValue(d):
		case depth == 2 && token.String() == "seq":
			return readUint(d)
		case depth == 1 && token.String() == "error":
			return 0, readAPIError(d)
		}
	}
}

func readUint(d *jsontext.Decoder) (uint64, error) {
	value, err := d.ReadToken()
	if err != nil || value.Kind() != '0' {
		return 0, errors.New("the answer about the first message of an order has no sequence")
	}
	return value.Uint()
}

// isValue reports whether the string that was read last is the value of a member, not its name.
func isValue(d *jsontext.Decoder) bool {
	kind, n := d.StackIndex(d.StackDepth())
	return kind == '{' && n%2 == 0
}

func readAPIError(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	refusal := &jetstream.APIError{}
	if err := json.Unmarshal(value, refusal); err != nil {
		return err
	}
	if refusal.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return errNoHead
	}
	return refusal
}

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
func (w *Worker) placeOf(ctx context.Context, d *delivery) (place, uint64, error) {
	if len(d.msg.body) > largeBody && w.alone(ctx, d.msg.subject) {
		return placeHead, d.message.Sequence, nil
	}
	first, err := w.firstStored(ctx, d.msg.subject)
	switch {
	case errors.Is(err, errNoHead):
		return placeGone, 0, nil
	case err != nil:
		return placeBehind, 0, err
	case first == d.message.Sequence:
		return placeHead, first, nil
	case first > d.message.Sequence:
		return placeGone, first, nil
	}
	return placeBehind, first, nil
}

// ordered reports whether a message may go only while it is the first of its subject.
func (d *delivery) ordered() bool { return d.message.Lane == outbox.LaneOrdered }

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
			w.lines.leave(d, false, time.Now())
			w.handBackAll(w.lines.drop(d.msg.subject))
		}
	}()
	w.deliver(d)
	returned = true
	return w.successor(d)
}

// inTurn reports whether an ordered message may go. A message that may not is kept back, without
// its slot.
func (w *Worker) inTurn(d *delivery) bool {
	at, known := w.lines.arrive(d, time.Now())
	var err error
	if !known {
		var first uint64
		if at, first, err = w.placeOf(d.ctx, d); err == nil {
			w.lines.learn(d, at, first, time.Now())
		}
	}
	switch {
	case err != nil:
		w.unadmit(d)
		w.troubles.ledger.Failed(itself, "messages wait: their state could not be read from or written to NATS", err, "message", d.message.ID, "source", d.message.Source)
		w.refuse(d, w.config.Retry.Initial)
	case at == placeHead:
		return true
	case at == placeGone:
		w.unadmit(d)
		w.keeper.Forget(d.lease)
		d.cancel(nil)
	case at == placeBehind:
		w.unadmit(d)
		w.keepBack(d)
	}
	return false
}

// unadmit releases what an admitted message holds that will not be sent.
func (w *Worker) unadmit(d *delivery) {
	d.permit.Drop()
	d.grant.end(false)
	w.slots.Release(d.lane.source, d.lane.class())
}

// keepBack keeps a follower in hand while its head is in hand, or hands it back.
func (w *Worker) keepBack(d *delivery) {
	instead, first := w.lines.park(d, time.Now())
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
	delay, near := w.lines.back(d, time.Now())
	w.refuse(d, delay)
	if !near || w.pulling.Err() != nil {
		return
	}
	if first, err := w.firstStored(w.settling, d.msg.subject); err == nil && first == d.message.Sequence {
		w.wake(d.lane, []handedBack{{sequence: first, delivery: d.consumed}})
	}
}

// successor returns the message that goes after a delivered one of its token, ready to be run;
// nil if it is not in hand. If the message is settled and others are known to wait, it asks for
// the new head at once, and tells the other workers if that is not here.
func (w *Worker) successor(d *delivery) *delivery {
	settled := d.verdict.action == settled && d.over
	crowd := w.lines.leave(d, settled, time.Now())
	if !settled || w.pulling.Err() != nil {
		w.handBackAll(w.lines.drop(d.msg.subject))
		return nil
	}
	if !crowd && d.delivered <= 1 {
		return nil
	}
	first, err := w.firstStored(w.settling, d.msg.subject)
	if err != nil {
		if errors.Is(err, errNoHead) {
			w.lines.forget(d.msg.subject)
		}
		w.handBackAll(w.lines.drop(d.msg.subject))
		return nil
	}
	next, here := w.headIs(d.lane, d.msg.subject, first)
	if next == nil {
		w.tell(d.lane, d.msg.subject, first, false)
	}
	if !here {
		w.lines.owe(d.msg.subject, first)
	}
	w.watch(d.lane, d.msg.subject)
	return next
}

// headIs notes who the head of a token is. It returns the head if that is in hand, ready to be
// run. here reports whether the head is in hand or was woken.
func (w *Worker) headIs(l *lane, subject string, first uint64) (next *delivery, here bool) {
	next, gone, woken := w.lines.next(subject, first, time.Now())
	w.wake(l, woken)
	for _, d := range gone {
		w.keeper.Forget(d.lease)
		d.cancel(nil)
	}
	if next == nil {
		return nil, len(woken) > 0 && woken[0].sequence == first
	}
	if !w.readmit(next) {
		w.lines.leave(next, false, time.Now())
		w.handBackAll(append(w.lines.drop(subject), next))
		return nil, true
	}
	return next, true
}

// readmit acquires what a follower in hand needs to be sent.
func (w *Worker) readmit(d *delivery) bool {
	l := d.lane
	ctx, cancel := context.WithTimeout(w.pulling, scarceWait)
	defer cancel()
	if d.permit, _ = w.breaker.TryAdmit(l.source, w.ownScopes(d)...); d.permit == nil {
		return false
	}
	if limiter := w.config.Limiter; limiter != nil {
		done, err := limiter.Acquire(ctx, l.source, l.kind)
		if err != nil {
			d.permit.Drop()
			return false
		}
		d.grant.done = done
	}
	if w.slots.Acquire(ctx, l.source, l.class(), 1) == 0 {
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
