package service_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/oteltrace"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// attributes that spans may have: ids, classes and numbers.
var spanAttributes = []string{"messaging.system", "messaging.message.id", "redox.source", "redox.lane", "redox.sequence", "redox.delivery",
	"redox.attempt", "redox.attempts", "redox.outcome", "redox.possible_duplicate", "http.response.status_code", "error.type"}

// One trace goes from the span of who publishes through the queue and the attempts to Redox, and back
// in the reply. Nothing of the message's content is in it. Where the publisher does not sample, no
// span is made, and the context travels all the same.
func TestTrace_FromThePublisherToRedoxAndBack(t *testing.T) {
	t.Parallel()
	w, err := newWorld(new(redoxsim.Server), "clinic-a: {id: "+clinicA+", key: main}", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	c, err := w.configure(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.provision(c); err != nil {
		t.Fatal(err)
	}
	memory := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(memory))
	registry := prometheus.NewRegistry()
	s, err := service.New(c, service.Options{Registerer: registry, TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	p, err := outbox.NewPublisher(w.js, outbox.PublisherConfig{Trace: oteltrace.FromContext, OrderSecret: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	request := func(sampled bool, m outbox.Message) (outbox.Reply, trace.SpanContext) {
		sampler := sdk.NeverSample()
		if sampled {
			sampler = sdk.AlwaysSample()
		}
		with, span := sdk.NewTracerProvider(sdk.WithSampler(sampler)).Tracer("application").Start(t.Context(), "publish")
		defer span.End()
		reply, err := p.Request(with, m)
		if err != nil {
			t.Fatal(err)
		}
		return reply, span.SpanContext()
	}
	reply, root := request(true, outbox.Message{ID: "kept", Source: "clinic-a", Lane: contract.LaneSend, OrderKey: "MRN-12345", Body: admit("MRN-12345")})
	unkept, dropped := request(false, outbox.Message{ID: "dropped", Source: "clinic-a", Lane: contract.LaneSend, Body: admit("2")})
	for len(exemplars(t, registry)) == 0 { // a message is counted after its reply
		<-time.After(time.Millisecond)
	}
	if got := exemplars(t, registry); !slices.Equal(got, []string{root.TraceID().String()}) {
		t.Errorf("exemplars %v, want that of the trace that is kept", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	spans := make(map[string]tracetest.SpanStub)
	for _, span := range memory.GetSpans() {
		spans[span.Name] = span
		if span.SpanContext.TraceID() != root.TraceID() {
			t.Errorf("%s is in another trace", span.Name)
		}
		for _, a := range span.Attributes {
			if !slices.Contains(spanAttributes, string(a.Key)) || strings.Contains(a.Value.String(), "MRN") {
				t.Errorf("%s has %s=%s", span.Name, a.Key, a.Value.String())
			}
		}
	}
	names := []string{"redox deliver", "redox wait", "redox admission", "redox attempt", "redox token", "redox settle"}
	parents := map[string]trace.SpanID{"redox deliver": root.SpanID(), "redox token": spans["redox attempt"].SpanContext.SpanID()}
	for _, name := range names {
		parent, ok := parents[name]
		if !ok {
			parent = spans["redox deliver"].SpanContext.SpanID()
		}
		if span := spans[name]; span.Name == "" || span.Parent.SpanID() != parent || span.EndTime.Before(span.StartTime) {
			t.Errorf("%s: parent %s, want %s; %v to %v", name, span.Parent.SpanID(), parent, span.StartTime, span.EndTime)
		}
	}
	if len(spans) != len(names) || len(memory.GetSpans()) != len(names) {
		t.Errorf("%d spans", len(memory.GetSpans()))
	}
	seen := make(map[string]bool)
	for _, a := range w.sim.Arrivals() {
		seen[a.TraceParent] = true
	}
	if want := header(spans["redox attempt"].SpanContext); !seen[want] {
		t.Errorf("Redox saw %v, want %s", seen, want)
	}
	if reply.TraceParent != header(spans["redox deliver"].SpanContext) {
		t.Errorf("the reply is of %s", reply.TraceParent)
	}
	back := trace.SpanContextFromContext(oteltrace.Context(t.Context(), unkept.TraceParent, unkept.TraceState))
	if back.TraceID() != dropped.TraceID() || back.IsSampled() {
		t.Errorf("the reply of a trace that is not kept is of %s", unkept.TraceParent)
	}
}

// header is the traceparent of a span.
func header(c trace.SpanContext) string {
	parent, _ := oteltrace.FromContext(trace.ContextWithSpanContext(context.Background(), c))
	return parent
}

// exemplars are the traces that durations name.
func exemplars(t *testing.T, r *prometheus.Registry) (ids []string) {
	t.Helper()
	for _, f := range families(t, r) {
		for _, m := range f.GetMetric() {
			for _, b := range m.GetHistogram().GetBucket() {
				for _, l := range b.GetExemplar().GetLabel() {
					ids = append(ids, l.GetValue())
				}
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
