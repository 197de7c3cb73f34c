package worker_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// badTracer starts spans by a function.
type badTracer struct {
	noop.Tracer
	start func(ctx context.Context) (context.Context, trace.Span)
}

func (t badTracer) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	return t.start(ctx)
}

// badTracers gives it.
type badTracers struct {
	noop.TracerProvider
	tracer trace.Tracer
}

func (t badTracers) Tracer(string, ...trace.TracerOption) trace.Tracer { return t.tracer }

// badSpan is one of which methods panic: all but those to ask it, or those too.
type badSpan struct {
	noop.Span
	asked bool // it may be asked whether it records
}

func (badSpan) SpanContext() trace.SpanContext      { panic("context") }
func (s badSpan) IsRecording() bool                 { return s.asked || s.panics() }
func (badSpan) SetAttributes(...attribute.KeyValue) { panic("attributes") }
func (badSpan) SetStatus(codes.Code, string)        { panic("status") }
func (badSpan) End(...trace.SpanEndOption)          { panic("end") }
func (badSpan) panics() bool                        { panic("recording") }

// Whatever a tracer gives, nil or spans that panic: each message is delivered once.
func TestGuarantee_BadSpansLoseNothing(t *testing.T) {
	for name, start := range map[string]func(ctx context.Context) (context.Context, trace.Span){
		"no span":       func(ctx context.Context) (context.Context, trace.Span) { return ctx, nil },
		"no context":    func(context.Context) (context.Context, trace.Span) { return nil, noop.Span{} }, //nolint:staticcheck // that is what is wrong
		"a nil pointer": func(ctx context.Context) (context.Context, trace.Span) { return ctx, (*badSpan)(nil) },
		"all panic": func(ctx context.Context) (context.Context, trace.Span) {
			return trace.ContextWithSpan(ctx, badSpan{}), badSpan{}
		},
		"all but one panic": func(ctx context.Context) (context.Context, trace.Span) {
			return trace.ContextWithSpan(ctx, badSpan{asked: true}), badSpan{asked: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
					trace.SpanFromContext(ctx).SpanContext() // as who passes a trace on
					return outbox.Answer{Status: 200}, ctx.Err()
				}
				r.start(worker.Config{Tracer: badTracers{tracer: badTracer{start: start}}})
				id := r.publish(outbox.Message{})
				if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || len(r.far.Of(id)) != 1 {
					t.Errorf("settled %s after %d attempts", e.Settlement, len(r.far.Of(id)))
				}
			})
		})
	}
}
