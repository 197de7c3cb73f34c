package worker

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// tracing has a span for each delivery, in the trace that came with its message, and in it one for
// each part of its way:
//
//	redox deliver                from when the message was stored, or pulled again, to its end
//	  redox wait                 in the queue
//	  redox admission            in hand, until it is sent: head of its order, ledger, body
//	  redox attempt              what the Deliverer does; Redox gets this one's context
//	  redox settle               dead letter, reply, audit entry, ack; or handing back
//
// Spans have ids, classes and numbers, and nothing of a message's content. Without a provider
// nothing is done: the Deliverer passes the message's own trace headers on.
type tracing struct {
	tracer trace.Tracer
	guards *guard.Panics
}

func newTracing(provider trace.TracerProvider, g *guard.Panics) (t tracing) {
	t.guards = g
	if guard.IsNil(provider) {
		return t
	}
	defer g.Recover("Config.Tracer", nil)
	t.tracer = provider.Tracer("github.com/redoxworker/redoxworker/worker")
	return t
}

// pulled notes when a message came.
func (t tracing) pulled(d *delivery) {
	if t.tracer != nil {
		d.traced = &traced{pulled: time.Now()}
	}
}

// begin starts the span of a delivery whose message was stored at an instant of this host's clock.
// There is none if the tracer panics.
func (t tracing) begin(d *delivery, stored time.Time) {
	own := d.traced
	if own == nil {
		return
	}
	defer t.guards.Recover("Config.Tracer", func() { own.span, own.part = nil, nil })
	carrier := propagation.MapCarrier{"traceparent": d.message.TraceParent, "tracestate": d.message.TraceState}
	ctx := propagation.TraceContext{}.Extract(context.Background(), carrier)
	from, first := own.pulled, d.delivered <= 1 && stored.Before(own.pulled)
	if first {
		from = stored
	}
	ctx, own.span = t.tracer.Start(ctx, "redox deliver", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(from), trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.message.id", d.message.ID),
		attribute.String("redox.source", d.puller.source),
		attribute.String("redox.lane", string(d.wayOf())),
		attribute.Int64("redox.sequence", int64(d.message.Sequence)),
		attribute.Int64("redox.delivery", int64(d.delivered)),
	))
	if !own.span.IsRecording() {
		return
	}
	if first {
		_, wait := t.tracer.Start(ctx, "redox wait", trace.WithTimestamp(from))
		wait.End(trace.WithTimestamp(own.pulled))
	}
	_, own.part = t.tracer.Start(ctx, "redox admission", trace.WithTimestamp(own.pulled))
}

// next ends the part that is under way and, with a name, begins another.
func (t tracing) next(d *delivery, name string) {
	own := d.traced
	if own == nil || own.span == nil {
		return
	}
	defer t.guards.Recover("Config.Tracer", func() { own.part = nil })
	if own.part != nil {
		own.part.End()
		own.part = nil
	}
	if name != "" && own.span.IsRecording() {
		_, own.part = t.tracer.Start(trace.ContextWithSpan(context.Background(), own.span), name)
	}
}

// attempt starts the span of an attempt, in which the Deliverer is called. A context or a span that is
// nil or panics would be taken for a fault of the Deliverer: there is none then.
func (t tracing) attempt(ctx context.Context, d *delivery) (with context.Context, span trace.Span) {
	t.next(d, "")
	if d.traced == nil || d.traced.span == nil {
		return ctx, nil
	}
	defer t.guards.Recover("Config.Tracer", func() { with, span = ctx, nil })
	with, span = t.tracer.Start(trace.ContextWithSpan(ctx, d.traced.span), "redox attempt", trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.Int("redox.attempt", d.record.Attempts+1)))
	_, _ = with.Err(), trace.SpanFromContext(with).SpanContext()
	if guard.IsNil(span) {
		return ctx, nil
	}
	return with, span
}

// attempted ends the span of an attempt.
func (t tracing) attempted(span trace.Span, v *verdict.Verdict) {
	if span == nil {
		return
	}
	defer t.guards.Recover("Config.Tracer", nil)
	conclude(span, v)
	span.End()
}

// end ends the span of a delivery.
func (t tracing) end(d *delivery) {
	t.next(d, "")
	if d.traced == nil || d.traced.span == nil {
		return
	}
	defer t.guards.Recover("Config.Tracer", nil)
	if span := d.traced.span; span.IsRecording() {
		conclude(span, &d.verdict)
		span.SetAttributes(attribute.Int("redox.attempts", d.attempts()), attribute.Bool("redox.possible_duplicate", d.possibleDuplicate()))
		span.End()
		return
	}
	d.traced.span.End()
}

// conclude says in a span what came of it.
func conclude(span trace.Span, v *verdict.Verdict) {
	if !span.IsRecording() {
		return
	}
	class := classOf(v)
	span.SetAttributes(attribute.String("redox.outcome", class))
	if v.Answer.Status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", v.Answer.Status))
	}
	if v.Action == verdict.Settled && v.Settlement == "delivered" {
		return
	}
	if v.Answer.Status >= 400 {
		class = strconv.Itoa(v.Answer.Status)
	}
	span.SetAttributes(attribute.String("error.type", class))
	span.SetStatus(codes.Error, "")
}

// classOf is the settlement, or what else is done with the message.
func classOf(v *verdict.Verdict) string {
	switch v.Action {
	case verdict.Retry:
		return "retry"
	case verdict.Wait:
		return "wait"
	case verdict.Leave:
		return "leave"
	case verdict.Abandon:
		return "abandon"
	}
	return string(v.Settlement)
}

// context is the trace context in which the message's way goes on: that of the delivery, or else the
// message's own.
func (t tracing) context(d *delivery) (parent, state string) {
	if d.traced == nil || d.traced.span == nil {
		return d.message.TraceParent, d.message.TraceState
	}
	defer t.guards.Recover("Config.Tracer", func() { parent, state = d.message.TraceParent, d.message.TraceState })
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), d.traced.span), carrier)
	if carrier["traceparent"] == "" {
		return d.message.TraceParent, d.message.TraceState
	}
	return carrier["traceparent"], carrier["tracestate"]
}

// sampled is the id of the trace of a delivery, if it is kept; "" otherwise.
func (t tracing) sampled(d *delivery) (id string) {
	if d.traced != nil && d.traced.span != nil {
		defer t.guards.Recover("Config.Tracer", func() { id = "" })
		if c := d.traced.span.SpanContext(); c.IsSampled() {
			return c.TraceID().String()
		}
		return ""
	}
	p := d.message.TraceParent // version-trace-parent-flags; what is malformed was dropped
	if p == "" {
		return ""
	}
	if flags, err := strconv.ParseUint(p[len(p)-2:], 16, 8); err != nil || flags&1 == 0 {
		return ""
	}
	return p[3:35]
}
