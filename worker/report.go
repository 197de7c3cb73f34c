package worker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
)

// report tells log, metrics and observer how a delivery ended.
func (w *Worker) report(d *delivery, kind EventKind) {
	v := &d.verdict
	w.countEnd(d, kind)
	level := slog.LevelInfo
	switch {
	case v.Settlement == outbox.Delivered:
		level = slog.LevelDebug
	case kind == EventSettled && d.needsDeadLetter(): // somebody should look at it
		level = slog.LevelWarn
	}
	if w.log.Enabled(w.settling, level) {
		w.log.LogAttrs(w.settling, level, logText[kind], d.line()...)
	}
	if !w.observed {
		return
	}
	e := d.event(kind)
	e.Attempt = d.attempts()
	e.Settlement, e.Status, e.LogIDs, e.Delay, e.Error = v.Settlement, v.Answer.Status, v.Answer.LogIDs, v.Delay, v.Text
	e.PossibleDuplicate = d.possibleDuplicate()
	if kind == EventSettled {
		e.Duration = time.Since(d.message.Stored)
		e.DeadLettered = d.needsDeadLetter()
	}
	w.observe(e)
}

var logText = map[EventKind]string{
	EventSettled:   "message settled",
	EventRetry:     "attempt failed; the message will be tried again",
	EventWait:      "message waits; not counted as an attempt",
	EventAbandoned: "message abandoned",
}

// line is what the log says of the end of a delivery: what there is, and nothing that is empty.
func (d *delivery) line() []slog.Attr {
	v := &d.verdict
	line := make([]slog.Attr, 0, 12)
	line = append(line, slog.String("message", d.message.ID), slog.String("source", d.puller.source), slog.String("lane", string(d.wayOf())),
		slog.Uint64("sequence", d.message.Sequence))
	if v.Settlement != "" {
		line = append(line, slog.String("settlement", string(v.Settlement)))
	}
	if v.Answer.Status != 0 {
		line = append(line, slog.Int("status", v.Answer.Status))
	}
	line = append(line, slog.Int("attempts", d.attempts()))
	if v.Delay > 0 {
		line = append(line, slog.Duration("delay", v.Delay))
	}
	if len(v.Answer.LogIDs) > 0 {
		line = append(line, slog.Any("log_ids", v.Answer.LogIDs))
	}
	if v.Text != "" {
		line = append(line, slog.String("error", v.Text))
	}
	if d.possibleDuplicate() {
		line = append(line, slog.Bool("possible_duplicate", true))
	}
	return line
}

// event returns an event about this delivery.
func (d *delivery) event(kind EventKind) Event {
	return Event{
		Kind: kind, Source: d.message.Source, MessageKind: cmp.Or(d.message.Kind, outbox.KindDataModel), Lane: d.message.Lane, MessageID: d.message.ID, Sequence: d.message.Sequence,
		Attempt: d.record.Attempts + 1, Delivered: d.delivered, Duration: time.Since(d.began),
		PossibleDuplicate: d.mayRepeat(),
	}
}

const stillPaused = "still paused: a probe failed"

// observeScope turns a change that the breaker reports into an event.
func (w *Worker) observeScope(c breaker.Change) {
	scope, byHand := breaker.Shown(c.Scope), breaker.ByOperator(c.Scope)
	e := Event{Kind: EventResumed, Scope: scope, Operator: byHand, Error: c.Reason}
	if c.Paused {
		e = Event{Kind: EventPaused, Source: c.Source, Scope: scope, Operator: byHand, Delay: c.Delay, Probes: c.Probes, Error: c.Reason, Refused: c.Refused}
	}
	w.observe(e)
}

// observe passes an event on, and logs a line at each change of a pause.
func (w *Worker) observe(e Event) {
	switch e.Kind {
	case EventPaused:
		w.logPause(e)
	case EventResumed:
		if w.troubles.probes.Worked(e.Scope); e.Error != "" {
			w.log.Info("no longer paused by itself", "scope", e.Scope, "reason", e.Error)
			break
		}
		w.log.Info("resumed", "scope", e.Scope)
	}
	if w.config.Observe != nil {
		w.config.Observe(e)
	}
}

func (w *Worker) logPause(e Event) {
	scope := e.Scope
	switch {
	case e.Probes > 0: // no change: it is still paused
		w.troubles.probes.Failed(scope, stillPaused, nil, "scope", scope, "next_in", e.Delay, "probes", e.Probes, "reason", e.Error)
		return
	case e.Operator:
		text := "paused by an operator: its sources pull nothing"
		if breaker.Kind(scope) == "destination" {
			text = "paused by an operator: messages to it are held back"
		}
		if e.Delay > 0 {
			w.log.Warn(text, "scope", scope, "for", e.Delay)
		} else {
			w.log.Warn(text+" until somebody resumes it", "scope", scope)
		}
		return
	case e.Refused:
		w.log.Error("paused: the far side refuses this source, and its messages wait; check its Source ID and its key", "scope", scope, "for", e.Delay, "reason", e.Error)
	case breaker.Narrow(e.Scope):
		w.log.Warn("paused: its messages wait until a probe succeeds", "scope", scope, "for", e.Delay, "reason", e.Error)
	default:
		w.log.Warn("paused: its sources pull nothing until a probe succeeds", "scope", scope, "for", e.Delay, "reason", e.Error)
	}
	w.troubles.probes.Began(scope, stillPaused)
}

// steady is how long a puller must not fail before it counts as working again, unless a pull of it
// succeeds before.
const steady = 10 * time.Second

// unpulled notes that a puller could not pull or be bound.
func (w *Worker) unpulled(p *puller, err error) {
	w.troubles.pulls.Failed(p.consumer, w.pullText(err), err, "stream", w.config.Prefix.OutStream(), "consumer", p.consumer)
	p.failed.Lock()
	defer p.failed.Unlock()
	if p.recovery == nil {
		p.recovery = time.AfterFunc(steady, func() { w.recovered(p) })
		return
	}
	p.recovery.Reset(steady)
}

// recovered checks whether a puller that has not failed for a while works again.
func (w *Worker) recovered(p *puller) {
	switch {
	case w.pulling.Err() != nil:
	case p.ctx.Err() != nil: // its source has left
		w.troubles.pulls.Gone(p.consumer)
	case p.bound.Load() && w.conn.IsConnected():
		w.troubles.pulls.Worked(p.consumer)
	default:
		p.failed.Lock()
		defer p.failed.Unlock()
		p.recovery.Reset(steady)
	}
}

// pullText describes an error of a pull, for the log.
func (w *Worker) pullText(err error) string {
	switch {
	case !w.conn.IsConnected():
		return "nothing is pulled: there is no connection to NATS"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return "nothing is pulled: the queue is missing; trying again (is it provisioned?)"
	case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDeleted):
		return "a consumer is missing: its messages are not pulled; trying again (is it provisioned?)"
	case errors.Is(err, nats.ErrNoResponders):
		return "nobody answers for a consumer: its messages are not pulled; trying again (is JetStream enabled, and the queue provisioned?)"
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "NATS does not answer: nothing is pulled; trying again"
	}
	return "pulling failed; trying again"
}
