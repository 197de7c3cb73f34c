package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

// Here is settled what the sweeper finds: messages that no worker has in hand, because the server
// stopped delivering them or somebody removed them, and the advisories about them.

// settleAdvisory handles one advisory and acknowledges it. After a failure the advisory is
// delivered again.
func (w *Worker) settleAdvisory(ctx context.Context, msg jetstream.Msg) error {
	if err := w.swept(ctx, msg); err != nil {
		w.log.Warn("an advisory could not be dealt with; trying again", "error", err)
		_ = msg.NakWithDelay(sweepPause)
		backoff.Sleep(ctx, time.Second)
		return nil
	}
	if err := msg.DoubleAck(ctx); err != nil && ctx.Err() == nil {
		return err // it comes again; all that it leads to repeats safely
	}
	return nil
}

// settleStopped settles a message that is stored and that the server no longer delivers.
func (w *Worker) settleStopped(ctx context.Context, out jetstream.Stream, a advisory, stored *jetstream.RawStreamMsg) error {
	d := &delivery{
		lane: w.laneOf(a.Consumer), msg: stopped(a, stored),
		delivered: a.Deliveries, began: time.Now(),
	}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	defer d.cancel(nil)
	w.decode(d, a.Sequence, stored.Time)
	d.verdict = verdict{settlement: outbox.Poison, unknown: d.message.Lane != outbox.LaneRequest, err: fmt.Sprintf(
		"the server stopped delivering it after %d deliveries: consumer %s has a limit on them, which no worker sets; nats consumer edit %s %s --max-deliver=-1 lifts it", a.Deliveries, a.Consumer, a.Stream, a.Consumer)}
	s := settlement{worker: w, delivery: d}
	if err := s.steps(); err != nil {
		return err
	}
	if _, err := out.GetMsg(ctx, a.Sequence); err == nil {
		return fmt.Errorf("message %d of stream %s is settled and yet still stored", a.Sequence, a.Stream)
	}
	w.report(d, EventSettled)
	return nil
}

// buryRemoved writes a dead letter for a message that somebody removed before it was settled. Its
// content is lost; that it existed is not.
func (w *Worker) buryRemoved(ctx context.Context, a advisory) error {
	l := w.laneOf(a.Consumer)
	letter := dlq.Letter{
		MessageID: fmt.Sprintf("%s:%d", a.Stream, a.Sequence), Source: l.source, Settlement: outbox.Poison,
		Error: "removed from the queue before it was settled, not by a worker; neither its body nor its id is known",
		At:    time.Now(), Subject: a.Stream + "." + a.Consumer, Sequence: a.Sequence, Worker: w.config.ID,
	}
	_, err := w.js.PublishMsg(ctx, letter.Encode(w.config.Prefix))
	if err != nil && !dlq.IsAlreadyStored(err) {
		return fmt.Errorf("writing the dead letter of a removed message: %w", err)
	}
	if keep := w.config.Audit; keep != nil {
		if err := keep(ctx, audit.Entry{
			Time: letter.At.UTC(), Worker: w.config.ID, Message: letter.MessageID, Source: l.source, Lane: l.kind, Settlement: letter.Settlement,
			Deliveries: a.Deliveries, Error: letter.Error, PossibleDuplicate: l.kind != outbox.LaneRequest, DeadLetter: true, Sequence: a.Sequence,
		}); err != nil {
			return fmt.Errorf("writing the audit trail of a removed message: %w", err)
		}
	}
	w.log.Error("a message was removed from the queue before it was settled, not by a worker", "stream", a.Stream, "sequence", a.Sequence,
		"consumer", a.Consumer, "source", l.source)
	return nil
}

// stopped is a stored message in the form of a delivered one. Its ack is that of the last
// delivery, which removes it from the queue although the server no longer waits for it.
func stopped(a advisory, stored *jetstream.RawStreamMsg) inbound {
	last := ack.Delivery{Stream: a.Stream, Consumer: a.Consumer, Sequence: a.Sequence, Consumed: 1, Count: a.Deliveries}
	return inbound{subject: stored.Subject, header: stored.Header, body: stored.Data, reply: last.Reply()}
}
