package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/ack"
	"github.com/redoxworker/redoxworker/worker/internal/advisory"
	"github.com/redoxworker/redoxworker/worker/internal/backoff"
	"github.com/redoxworker/redoxworker/worker/internal/lease"
	"github.com/redoxworker/redoxworker/worker/internal/meter"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// The sweeper settles messages that no worker sees. The consumers of the queue have no delivery
// limit, and no worker terminates a message. If a person has set a limit or terminates one, the
// server stops delivering the message, or drops it, and says so in an advisory only. A stream
// keeps the advisories, and one worker at a time reads them.

// sweepExpiry is how long one pull for an advisory waits.
const sweepExpiry = 30 * time.Second

// sweepPause is how long the sweeper waits after a failure.
const sweepPause = 5 * time.Second

// sweep reads advisories until ctx ends. Without the permission, or without the consumer, it says
// so once and tries again now and then.
func (w *Worker) sweep(ctx context.Context) {
	stream, name := w.config.Prefix.AdvisoryStream(), w.config.Prefix.SweeperConsumer()
	for attempt := 1; ctx.Err() == nil; attempt++ {
		consumer, err := advisory.Consumer(ctx, w.js, stream, name, w.config.AckWait)
		if err == nil {
			attempt, err = 0, w.sweepFrom(ctx, consumer)
		}
		if err != nil && ctx.Err() == nil {
			text := "advisories cannot be read; trying again (is it provisioned, and permitted?)"
			if !w.conn.IsConnected() {
				text = "advisories cannot be read: there is no connection to NATS"
			}
			w.troubles.advisories.Failed(itself, text, err, "stream", stream, "consumer", name)
			backoff.Sleep(ctx, backoff.Exponential(sweepPause, 5*time.Minute, max(1, attempt)))
		}
	}
}

func (w *Worker) sweepFrom(ctx context.Context, consumer jetstream.Consumer) error {
	for ctx.Err() == nil {
		fetch, cancel := context.WithTimeout(ctx, sweepExpiry)
		msg, err := consumer.Next(jetstream.FetchContext(fetch))
		waited := fetch.Err() != nil
		cancel()
		if err != nil {
			if waited || errors.Is(err, nats.ErrTimeout) {
				w.troubles.advisories.Worked(itself)
				continue
			}
			return err
		}
		w.troubles.advisories.Worked(itself)
		if err := w.settleAdvisory(ctx, msg); err != nil {
			return err
		}
	}
	return nil
}

// swept handles one advisory.
func (w *Worker) swept(ctx context.Context, msg jetstream.Msg) error {
	a, err := advisory.Parse(msg.Data(), w.config.Prefix.OutStream())
	if err != nil {
		w.metrics.Advisories[meter.AdvisoryLeft].Inc()
		w.log.Warn("an advisory was left alone", "reason", err)
		return nil
	}
	out, err := w.js.Stream(ctx, a.Stream)
	if err != nil {
		return fmt.Errorf("looking for stream %s: %w", a.Stream, err)
	}
	stored, err := out.GetMsg(ctx, a.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		if a.Type != advisory.Terminated {
			return nil // settled since
		}
		return w.missed(ctx, a, replicated(out.CachedInfo().Cluster))
	}
	if err != nil {
		return fmt.Errorf("reading message %d of stream %s: %w", a.Sequence, a.Stream, err)
	}
	if stored.Time.After(a.Time.Add(lease.ClockSkew)) {
		w.leaveAdvisory(a, "the queue was made anew since")
		return nil
	}
	switch anew, err := a.MadeAnew(ctx, w.js); {
	case err != nil:
		return err
	case anew:
		w.leaveAdvisory(a, "the consumer was made anew since")
		return nil
	}
	return w.settleStopped(ctx, out, a, stored)
}

// leaveAdvisory says why nothing is done about an advisory.
func (w *Worker) leaveAdvisory(a advisory.Advisory, reason string) {
	w.metrics.Advisories[meter.AdvisoryLeft].Inc()
	w.log.Warn("an advisory was left alone", "reason", reason, "sequence", a.Sequence, "consumer", a.Consumer)
}

// missed handles a message that is gone although the server was still waiting for its ack.
// Somebody has removed it, unless the server was started or became the leader shortly before:
// then it may not know of the ack.
func (w *Worker) missed(ctx context.Context, a advisory.Advisory, replicated bool) error {
	newcomer := w.restarts.Explains(a.Time)
	if replicated {
		since, err := a.LeaderSince(ctx, w.js)
		if err != nil {
			return err
		}
		newcomer = a.Time.Before(since.Add(2*w.config.AckWait + lease.ClockSkew))
	}
	if !newcomer {
		return w.buryRemoved(ctx, a)
	}
	w.metrics.Advisories[meter.AdvisoryLeft].Inc()
	w.log.Warn("a message is gone that the server was still waiting for; after a restart or a change of leader that is most likely one acknowledged just before",
		"stream", a.Stream, "sequence", a.Sequence, "consumer", a.Consumer)
	return nil
}

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
func (w *Worker) settleStopped(ctx context.Context, out jetstream.Stream, a advisory.Advisory, stored *jetstream.RawStreamMsg) error {
	d := &delivery{
		puller: w.pullerOf(a.Consumer), msg: stopped(a, stored),
		delivered: a.Deliveries, began: time.Now(),
	}
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	defer d.cancel(nil)
	if err := w.locked(); err != nil {
		return err
	}
	w.decode(d, a.Sequence, stored.Time)
	d.verdict = verdict.Verdict{Settlement: outbox.Poison, Unknown: d.message.Lane != contract.LaneRequest, Text: fmt.Sprintf(
		"the server stopped delivering it after %d deliveries: consumer %s has a limit on them, which no worker sets; nats consumer edit %s %s --max-deliver=-1 lifts it", a.Deliveries, a.Consumer, a.Stream, a.Consumer)}
	s := settlement{worker: w, delivery: d}
	if err := s.steps(); err != nil {
		return err
	}
	if _, err := out.GetMsg(ctx, a.Sequence); err == nil {
		return fmt.Errorf("message %d of stream %s is settled and yet still stored", a.Sequence, a.Stream)
	}
	w.metrics.Advisories[meter.AdvisorySettled].Inc()
	w.report(d, EventSettled)
	return nil
}

// buryRemoved writes a dead letter for a message that somebody removed before it was settled. Its
// content is lost; that it existed is not.
func (w *Worker) buryRemoved(ctx context.Context, a advisory.Advisory) error {
	p := w.pullerOf(a.Consumer)
	letter := dlq.Letter{
		MessageID: fmt.Sprintf("%s:%d", a.Stream, a.Sequence), Source: p.source, Settlement: outbox.Poison,
		Error: "removed from the queue before it was settled, not by a worker; neither its body nor its id is known",
		At:    time.Now(), Subject: a.Stream + "." + a.Consumer, Sequence: a.Sequence, Worker: w.config.ID,
	}
	_, err := w.js.PublishMsg(ctx, letter.Encode(w.config.Prefix))
	if err != nil && !dlq.IsAlreadyStored(err) {
		return fmt.Errorf("writing the dead letter of a removed message: %w", err)
	}
	if keep := w.config.Audit; keep != nil {
		if err := keep(ctx, audit.Entry{
			Time: letter.At.UTC(), Worker: w.config.ID, Message: letter.MessageID, Source: p.source, Lane: p.lane, Settlement: letter.Settlement,
			Deliveries: a.Deliveries, Error: letter.Error, PossibleDuplicate: p.lane != contract.LaneRequest, DeadLetter: true, Sequence: a.Sequence,
		}); err != nil {
			return fmt.Errorf("writing the audit trail of a removed message: %w", err)
		}
	}
	w.metrics.Advisories[meter.AdvisoryRemoved].Inc()
	w.log.Error("a message was removed from the queue before it was settled, not by a worker", "stream", a.Stream, "sequence", a.Sequence,
		"consumer", a.Consumer, "source", p.source)
	return nil
}

// stopped is a stored message in the form of a delivered one. Its ack is that of the last
// delivery, which removes it from the queue although the server no longer waits for it.
func stopped(a advisory.Advisory, stored *jetstream.RawStreamMsg) inbound {
	last := ack.Delivery{Stream: a.Stream, Consumer: a.Consumer, Sequence: a.Sequence, Consumed: 1, Count: a.Deliveries}
	return inbound{subject: stored.Subject, header: stored.Header, body: stored.Data, reply: last.Reply()}
}
