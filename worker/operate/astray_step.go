package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// strayMessage is a message astray in hand.
type strayMessage struct {
	msg    jetstream.Msg // nil in a dry run
	in     outbox.Stored
	mark   string
	record ledger.Record
	copied copied
	order  string // that it has where it is; "" is none
	taken  bool   // nothing is left to do but to acknowledge it
	came   Strayed
}

// fetch brings up to n messages that the consumer has.
func fetch(consumer jetstream.Consumer, n int) (all []*strayMessage, err error) {
	batch, err := consumer.FetchNoWait(n)
	if err != nil {
		return nil, err
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		all = append(all, &strayMessage{msg: msg, in: outbox.Stored{Subject: msg.Subject(), Header: msg.Headers(), Body: msg.Data(), Sequence: meta.Sequence.Stream, Time: meta.Timestamp}})
	}
	return all, batch.Error()
}

// take carries all steps out for some messages. It finishes what it has begun for some time after ctx has
// ended.
func (r *strayRun) take(ctx context.Context, batch []*strayMessage) error {
	for range batch {
		if r.options.Pace == nil {
			break
		}
		if err := r.options.Pace(ctx); err != nil {
			return err
		}
	}
	if err := r.lookForCopies(ctx, batch...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	plans, each := errgroup.WithContext(ctx)
	plans.SetLimit(stepsAtOnce)
	for _, one := range batch {
		plans.Go(func() error { return r.plan(each, one) })
	}
	if err := plans.Wait(); err != nil {
		return err
	}
	if r.bury {
		return r.buryAll(ctx, batch)
	}
	return r.moveAll(ctx, batch)
}

// stepsAtOnce bounds the requests that are open.
const stepsAtOnce = 16

// plan says what is to be done with a message, without doing it: nothing where came has an outcome.
func (r *strayRun) plan(ctx context.Context, one *strayMessage) (err error) {
	p := r.desk.prefix
	m, _ := outbox.Decode(p, one.in) // that no worker reads it is known
	one.mark = ledger.Mark(one.in)
	one.came = Strayed{ID: m.ID, Source: m.Source, Sequence: one.in.Sequence}
	if token := tokenOf(p, one.in, m); token != "" {
		one.order = m.Source + " " + token
	}
	_, lane, why := r.strays.query.reason(p, one.in.Subject)
	if why == "" {
		one.leave(errors.New("a worker serves it by now"))
		return nil
	}
	if lane != "" { // a worker may have had it
		if one.record, _, err = r.ledger.Load(ctx, m); err != nil {
			return err
		}
	}
	if one.record.Settled != "" {
		one.came.Outcome, one.taken = AlreadySettled, true
		return nil
	}
	if r.doubts[one.mark] != nil {
		moved, err := r.wasMoved(ctx, one.mark)
		switch {
		case err != nil:
			return err
		case moved:
			one.came.Outcome, one.taken = AlreadyMoved, true
			return nil
		case !r.bury && r.forgotten(one.mark):
			one.leave(errors.New("a run of more than a month ago may have moved it: dead-letter it, and look for it at Redox"))
			return nil
		}
	}
	if r.bury {
		return nil
	}
	if rec := one.record; rec.Intent || rec.Unknown || rec.Started > 0 {
		one.leave(errors.New("an attempt may have reached Redox: dead-letter it, so that a person decides"))
		return nil
	}
	if one.copied, err = r.to.copyOf(p, one.in); err != nil {
		one.leave(err)
		return nil
	}
	if _, _, why := r.strays.query.reason(p, one.copied.msg.Subject); why != "" {
		one.leave(fmt.Errorf("it would be astray again: %s", why))
	}
	return nil
}

func (one *strayMessage) leave(reason error) {
	one.came.Outcome, one.came.Reason = Left, reason.Error()
}

// keepOrder leaves a message behind one of the same order that is left. Messages come as they are stored.
func (r *strayRun) keepOrder(one *strayMessage) {
	switch {
	case r.bury || one.order == "" || one.taken:
	case one.came.Outcome == Left:
		r.stays[one.order] = true
	case r.stays[one.order]:
		one.leave(errors.New("one of its order that is before it stays"))
	}
}

// buryAll writes the dead letters and then takes the messages out of the queue.
func (r *strayRun) buryAll(ctx context.Context, batch []*strayMessage) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(stepsAtOnce)
	for _, one := range batch {
		if one.came.Outcome != "" && !one.taken {
			continue
		}
		group.Go(func() error {
			if !one.taken {
				if err := r.letter(ctx, one); err != nil {
					return fmt.Errorf("writing the dead letter of message %s: %w", one.came.ID, err)
				}
				if err := r.crash("buried"); err != nil {
					return err
				}
				one.came.Outcome = Buried
			}
			return r.done(ctx, one)
		})
	}
	return group.Wait()
}

// letter writes a dead letter. Where its place is taken by that of an older message it is written under a
// name of its own.
func (r *strayRun) letter(ctx context.Context, one *strayMessage) error {
	p := r.desk.prefix
	_, _, why := r.strays.query.reason(p, one.in.Subject)
	l := letterOf(p, one.in, why, r.desk.record.By(), one.record)
	for range 2 {
		msg := l.Encode(p)
		source := l.Source
		if contract.CheckSource(source) != nil {
			source = contract.NoSource
		}
		if err := r.fits(ctx, msg, p.DeadBodyName(source, l.MessageID, l.Sequence)); err != nil {
			return err
		}
		_, err := r.desk.js.PublishMsg(ctx, msg)
		if !dlq.IsAlreadyStored(err) {
			return err
		}
		older, err := dlq.StoredBefore(ctx, r.desk.js, p, msg.Subject, one.in.Time.Add(-clockSkew))
		if err != nil || !older {
			return err
		}
		l.MessageID += "@" + one.in.Time.UTC().Format(time.RFC3339Nano)
	}
	return errors.New("its place is taken")
}

// clockSkew is how far clocks of servers may differ.
const clockSkew = 5 * time.Second

// done takes a message out of the queue, when it is stored elsewhere. One that was moved before leaves the
// note that a worker would: the run that moved it may not know yet that it did.
func (r *strayRun) done(ctx context.Context, one *strayMessage) error {
	err := r.ledger.NoteMoved(ctx, one.came.Source, one.in.Header)
	if err == nil {
		err = one.msg.DoubleAck(ctx)
	}
	if err != nil {
		one.came.Outcome = ""
		return fmt.Errorf("taking message %s out of the queue, which is stored elsewhere by now: %w; run the same command again", one.came.ID, err)
	}
	return nil
}

// moveAll notes what is about to be moved, stores it anew, and takes it out of its old place. Those of
// one order token go one after the other.
func (r *strayRun) moveAll(ctx context.Context, batch []*strayMessage) error {
	queue, err := r.desk.js.Stream(ctx, r.desk.prefix.OutStream())
	if err != nil {
		return err
	}
	note := ledger.Moving{At: time.Now().UTC(), After: queue.CachedInfo().State.LastSeq, To: map[string]string{}, From: map[string]uint64{}}
	byToken := map[string][]*strayMessage{}
	var plain, taken []*strayMessage
	for _, one := range batch {
		r.keepOrder(one)
		switch c := one.copied; {
		case one.taken:
			taken = append(taken, one)
			continue
		case one.came.Outcome != "":
			continue
		case c.token != "":
			byToken[c.msg.Subject] = append(byToken[c.msg.Subject], one)
		default:
			plain = append(plain, one)
		}
		note.To[one.mark], note.From[one.mark] = one.copied.msg.Subject, one.in.Sequence
	}
	if len(note.To) > 0 {
		if err := r.ledger.StoreMoving(ctx, r.run, note); err != nil {
			return err
		}
		if err := r.crash("noted"); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(stepsAtOnce)
	for _, one := range taken {
		group.Go(func() error { return r.done(ctx, one) })
	}
	for _, ordered := range byToken {
		group.Go(func() error {
			for _, one := range ordered {
				ack, err := r.publish(ctx, one)
				if err == nil {
					err = r.moved(ctx, one, ack)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	err = r.movePlain(ctx, group, plain)
	return errors.Join(group.Wait(), err)
}

// movePlain stores messages without an order in the order in which they are, without waiting for one
// before the next.
func (r *strayRun) movePlain(ctx context.Context, group *errgroup.Group, plain []*strayMessage) error {
	acks := make([]jetstream.PubAckFuture, len(plain))
	for i, one := range plain {
		if err := r.body(ctx, one); err != nil {
			return err
		}
		var err error
		if acks[i], err = r.desk.js.PublishMsgAsync(one.copied.msg); err != nil {
			return storing(one, err)
		}
	}
	for i, one := range plain {
		select {
		case ack := <-acks[i].Ok():
			group.Go(func() error { return r.moved(ctx, one, ack) })
		case err := <-acks[i].Err():
			return storing(one, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func storing(one *strayMessage, err error) error {
	return fmt.Errorf("storing message %s anew: %w", one.came.ID, err)
}

// publish stores one message anew and waits until that is confirmed.
func (r *strayRun) publish(ctx context.Context, one *strayMessage) (*jetstream.PubAck, error) {
	if err := r.body(ctx, one); err != nil {
		return nil, err
	}
	ack, err := r.desk.js.PublishMsg(ctx, one.copied.msg)
	if err != nil {
		return nil, storing(one, err)
	}
	return ack, nil
}

// body stores a body for the message where it is an object of another source, or does not fit.
func (r *strayRun) body(ctx context.Context, one *strayMessage) error {
	c := one.copied
	if c.object == "" {
		return r.fits(ctx, c.msg, contract.BodyName(c.source, "moved-"+one.mark))
	}
	m, _ := outbox.Decode(r.desk.prefix, one.in) // its object is that of its header
	body, err := r.bodies.Get(ctx, m.BodyObject, -1)
	if err == nil {
		err = r.bodies.Put(ctx, c.object, body)
	}
	if err != nil {
		return fmt.Errorf("the body of message %s: %w", one.came.ID, err)
	}
	return nil
}

// moved takes a message out of its old place.
func (r *strayRun) moved(ctx context.Context, one *strayMessage, ack *jetstream.PubAck) error {
	if err := r.crash("moved"); err != nil {
		return err
	}
	one.came.Outcome, one.came.Now = Moved, ack.Sequence
	if ack.Duplicate {
		if is, err := r.isCopy(ctx, one, ack.Sequence); !is || err != nil {
			one.came.Outcome, one.came.Now = "", 0
			return cmp.Or(err, fmt.Errorf("message %s: the queue takes its copy for another message; in a quarter of an hour, run the same command again", one.came.ID))
		}
		one.came.Outcome = AlreadyMoved
	}
	return r.done(ctx, one)
}

// isCopy reports whether what the queue took for the copy of a message is that: a client can give any id to
// its own.
func (r *strayRun) isCopy(ctx context.Context, one *strayMessage, sequence uint64) (bool, error) {
	queue, err := r.desk.js.Stream(ctx, r.desk.prefix.OutStream())
	if err != nil {
		return false, err
	}
	msg, err := queue.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return r.ledger.Moved(ctx, one.copied.source, one.mark)
	}
	return err == nil && msg.Subject == one.copied.msg.Subject && msg.Header.Get(contract.HeaderMoved) == one.mark, err
}

func (r *strayRun) crash(point string) error {
	if r.desk.fault == nil {
		return nil
	}
	return r.desk.fault(point)
}
