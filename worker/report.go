package worker

import (
	"log/slog"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
)

// report tells log, metrics and observer how a delivery ended.
func (w *Worker) report(d *delivery, kind EventKind) {
	v := &d.verdict
	w.metrics.outcome(d, kind)
	level := slog.LevelInfo
	switch {
	case v.settlement == outbox.Delivered:
		level = slog.LevelDebug
	case kind == EventSettled && d.needsDeadLetter(): // somebody should look at it
		level = slog.LevelWarn
	}
	if w.log.Enabled(w.settling, level) {
		w.log.Log(w.settling, level, logText[kind], "message", d.message.ID, "source", d.message.Source, "lane", d.message.Lane,
			"sequence", d.message.Sequence, "settlement", v.settlement, "status", v.answer.Status, "attempts", d.attempts(),
			"delay", v.delay, "log_ids", v.answer.LogIDs, "error", v.err, "possible_duplicate", d.possibleDuplicate())
	}
	if !w.observed {
		return
	}
	e := d.event(kind)
	e.Attempt = d.attempts()
	e.Settlement, e.Status, e.LogIDs, e.Delay, e.Error = v.settlement, v.answer.Status, v.answer.LogIDs, v.delay, v.err
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

// possibleDuplicate: an earlier attempt or this one had an unknown outcome.
func (d *delivery) possibleDuplicate() bool { return d.record.Unknown || d.verdict.unknown }

// event starts an event about this delivery.
func (d *delivery) event(kind EventKind) Event {
	return Event{
		Kind: kind, Source: d.message.Source, Lane: d.message.Lane, MessageID: d.message.ID, Sequence: d.message.Sequence,
		Attempt: d.record.Attempts + 1, Delivered: d.delivered, Duration: time.Since(d.began),
		PossibleDuplicate: d.record.Unknown,
	}
}

const stillPaused = "still paused: a probe failed"

// observeScope makes an event of what the breaker tells.
func (w *Worker) observeScope(c breaker.Change) {
	e := Event{Kind: EventResumed, Scope: c.Scope}
	if c.Paused {
		e = Event{Kind: EventPaused, Source: c.Source, Scope: c.Scope, Delay: c.Delay, Probes: c.Probes}
	}
	w.observe(e)
}

// observe passes an event on, and notes pauses: one line at each change.
func (w *Worker) observe(e Event) {
	switch e.Kind {
	case EventPaused:
		w.metrics.paused.WithLabelValues(e.Scope).Set(1)
		if e.Probes > 0 { // no change: it is still paused
			w.troubles.probes.Failed(breaker.Shown(e.Scope), stillPaused, nil, "scope", breaker.Shown(e.Scope), "next_in", e.Delay, "probes", e.Probes)
			break
		}
		switch byHand := breaker.ByOperator(e.Scope); {
		case byHand && e.Delay > 0:
			w.log.Warn("paused by an operator: its sources pull nothing", "scope", breaker.Shown(e.Scope), "for", e.Delay)
		case byHand:
			w.log.Warn("paused by an operator: its sources pull nothing until they are resumed", "scope", breaker.Shown(e.Scope))
		default:
			w.log.Warn("paused: its sources pull nothing until a probe succeeds", "scope", e.Scope, "for", e.Delay)
			w.troubles.probes.Began(breaker.Shown(e.Scope), stillPaused)
		}
	case EventResumed:
		w.metrics.paused.WithLabelValues(e.Scope).Set(0)
		w.log.Info("resumed", "scope", breaker.Shown(e.Scope))
		w.troubles.probes.Worked(breaker.Shown(e.Scope))
	}
	if w.config.Observe != nil {
		w.config.Observe(e)
	}
}
