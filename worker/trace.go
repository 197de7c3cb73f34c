package worker

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/worker/internal/guard"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// tracing starts a span per attempt, as a child of the trace context that came with the
// message. Without a provider it does nothing: the Deliverer passes the message's own
// trace headers on.
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

// start returns no span if the tracer panics.
func (t tracing) start(ctx context.Context, d *delivery) (with context.Context, span trace.Span) {
	if t.tracer == nil {
		return ctx, nil
	}
	defer t.guards.Recover("Config.Tracer", func() { with, span = ctx, nil })
	carrier := propagation.MapCarrier{"traceparent": d.message.TraceParent, "tracestate": d.message.TraceState}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	return t.tracer.Start(ctx, "redox deliver", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.message.id", d.message.ID),
		attribute.String("redox.source", d.message.Source),
		attribute.String("redox.lane", string(d.message.Lane)),
		attribute.Int("redox.attempt", d.record.Attempts+1),
	))
}

func (t tracing) end(span trace.Span, v *verdict.Verdict) {
	if span == nil {
		return
	}
	defer t.guards.Recover("Config.Tracer", nil)
	span.SetAttributes(attribute.String("redox.settlement", string(v.Settlement)), attribute.Int("http.response.status_code", v.Answer.Status))
	if v.Text != "" {
		span.SetStatus(codes.Error, v.Text)
	}
	span.End()
}
