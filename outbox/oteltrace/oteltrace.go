// Package oteltrace carries the trace of OpenTelemetry into messages: give [FromContext] to
// outbox.PublisherConfig.Trace, and the delivery of a message is part of the trace in which it
// was published; [Context] goes on with it from a reply. Package outbox itself does not link OpenTelemetry.
package oteltrace

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// FromContext returns the W3C trace context of the span that ctx has; both are empty where it has
// none. It is safe for concurrent use.
func FromContext(ctx context.Context) (traceparent, tracestate string) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"], carrier["tracestate"]
}

// Context returns ctx with the W3C trace context of a message or a reply, so that a span that is
// started with it belongs to that trace. ctx comes back as it is where there is none, or it is
// malformed. It is safe for concurrent use.
//
//	ctx = oteltrace.Context(ctx, reply.TraceParent, reply.TraceState)
func Context(ctx context.Context, traceparent, tracestate string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent, "tracestate": tracestate})
}
