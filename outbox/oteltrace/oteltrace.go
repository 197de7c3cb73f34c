// Package oteltrace carries the trace of OpenTelemetry into messages: give [FromContext] to
// outbox.PublisherConfig.Trace, and the delivery of a message is part of the trace in which it
// was published. Package outbox itself does not link OpenTelemetry.
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
