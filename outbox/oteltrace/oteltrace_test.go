package oteltrace_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/oteltrace"
)

const (
	traceparent = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"
	own         = "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-00"
)

// withSpan has a span as an application of OpenTelemetry has one.
func withSpan(t *testing.T) context.Context {
	t.Helper()
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	return trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, SpanID: trace.SpanID{1, 2, 3, 4, 5, 6, 7, 8},
		TraceFlags: trace.FlagsSampled, TraceState: state,
	}))
}

// A message goes with the trace of who publishes it, unless it has one of its own or nobody is
// asked for one.
func TestFromContext_IsTheTraceOfAMessage(t *testing.T) {
	t.Parallel()
	r := outboxtest.With(t, natsdev.Options{})
	r.Provision(streams.Set{Names: contract.Prefix("")})
	panics := func(context.Context) (string, string) { panic("no trace today") }
	for name, tc := range map[string]struct {
		hook          func(context.Context) (string, string)
		ctx           context.Context
		own           string
		parent, state string
	}{
		"of the span":  {oteltrace.FromContext, withSpan(t), "", traceparent, "vendor=1"},
		"its own":      {oteltrace.FromContext, withSpan(t), own, own, ""},
		"no span":      {oteltrace.FromContext, t.Context(), "", "", ""},
		"not asked":    {nil, withSpan(t), "", "", ""},
		"a panic":      {panics, withSpan(t), "", "", ""},
		"no such form": {func(context.Context) (string, string) { return "00-zz", "x" }, t.Context(), "", "", ""},
	} {
		p, err := outbox.NewPublisher(r.JS, outbox.PublisherConfig{Trace: tc.hook})
		if err != nil {
			t.Fatal(err)
		}
		m := outbox.Message{Source: "clinic-a", TraceParent: tc.own}
		receipt, err := p.Publish(tc.ctx, m)
		batch := p.PublishBatch(tc.ctx, []outbox.Message{m})
		if err != nil || batch[0].Err != nil {
			t.Errorf("%s: %v, %v", name, err, batch[0].Err)
			continue
		}
		for _, sequence := range []uint64{receipt.Sequence, batch[0].Sequence} {
			h := r.Out(sequence).Header
			if got, state := h.Get(contract.HeaderTraceParent), h.Get(contract.HeaderTraceState); got != tc.parent || state != tc.state {
				t.Errorf("%s: %q %q, want %q %q", name, got, state, tc.parent, tc.state)
			}
		}
	}
}

// A span that is started with the context of a reply belongs to the reply's trace; what is no trace
// context changes nothing.
func TestContext_GoesOnWithATrace(t *testing.T) {
	t.Parallel()
	span := trace.SpanContextFromContext(oteltrace.Context(t.Context(), traceparent, "vendor=1"))
	if parent, state := oteltrace.FromContext(trace.ContextWithSpanContext(t.Context(), span)); parent != traceparent || state != "vendor=1" || !span.IsRemote() {
		t.Errorf("%s %s", parent, state)
	}
	for _, bad := range []string{"", "00-zz", "00-00000000000000000000000000000000-0102030405060708-01"} {
		if with := oteltrace.Context(withSpan(t), bad, "vendor=1"); trace.SpanContextFromContext(with).TraceID() != (trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}) {
			t.Errorf("%q: the span of the caller is lost", bad)
		}
	}
}
