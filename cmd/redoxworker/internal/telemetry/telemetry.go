// Package telemetry exports the traces of a process by OTLP, as the standard variables OTEL_* of its
// environment say. Libraries link no SDK of OpenTelemetry: it is here alone.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/logsample"
)

// flushTime bounds what the end of the process waits for a collector.
const flushTime = 3 * time.Second

// Traces returns what makes spans and sends them to a collector, and what sends the last of them at
// the end. Both are nil where the environment asks for no traces: OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says where the collector is, OTEL_TRACES_EXPORTER=otlp is enough
// for one on this host, none and OTEL_SDK_DISABLED=true switch it off. All else, headers,
// certificates, timeouts, sampler, resource and the size of the queue, is read by the SDK.
//
// Spans wait for the collector in a queue of the SDK, and are dropped when that is full: who makes
// them never waits.
func Traces(ctx context.Context, a *cli.App, log *slog.Logger) (_ trace.TracerProvider, flush func(), err error) {
	on, err := wanted(a.Env)
	if err != nil || !on {
		return nil, nil, err
	}
	// What the SDK itself has to say goes nowhere else: it may come with each batch.
	log = logsample.Wrap(log)
	otel.SetLogger(logr.FromSlogHandler(atDebug{log.Handler()}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Debug("traces: the SDK of OpenTelemetry reports", "error", err) }))
	exporter, err := newExporter(ctx, a.Env)
	if err != nil {
		return nil, nil, cli.Usagef("OTEL_EXPORTER_OTLP_…: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(
		attribute.String("service.name", "redoxworker"), attribute.String("service.version", a.Version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, nil, cli.Usagef("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	told := &heard{SpanExporter: exporter, trouble: logsample.NewTrouble(log, "traces are exported again")}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(told), sdk.WithResource(about))
	log.Info("traces are exported by OTLP", "to", where(a.Env))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		_ = provider.Shutdown(ctx) // heard has said what there is to say
	}, nil
}

// where is the collector, without what may be a secret: a user, a password, a query.
func where(env func(string) string) string {
	text := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), env("OTEL_EXPORTER_OTLP_ENDPOINT"))
	if to, err := url.Parse(text); err == nil && text != "" {
		to.User, to.RawQuery, to.Fragment = nil, "", ""
		return to.String()
	}
	return "this host"
}

// wanted reports whether traces are asked for.
func wanted(env func(string) string) (bool, error) {
	if env("OTEL_SDK_DISABLED") == "true" {
		return false, nil
	}
	switch name := env("OTEL_TRACES_EXPORTER"); name {
	case "none":
		return false, nil
	case "otlp":
		return true, nil
	case "":
		return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, cli.Usagef("OTEL_TRACES_EXPORTER: %q cannot be had here; use otlp or none", name)
	}
}

func newExporter(ctx context.Context, env func(string) string) (sdk.SpanExporter, error) {
	switch protocol := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL")); protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	default:
		return nil, cli.Usagef("protocol %q cannot be had here; use http/protobuf or grpc", protocol)
	}
}

// heard says in the log when a collector takes no spans, and when it does again.
type heard struct {
	sdk.SpanExporter
	trouble *logsample.Trouble
	mu      sync.Mutex
	dropped int
}

// ExportSpans never fails: what the collector did not take is dropped, and counted in the log.
func (h *heard) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := h.SpanExporter.ExportSpans(ctx, spans)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.dropped += len(spans)
		h.trouble.Failed("collector", "traces cannot be exported, and are dropped; deliveries go on", err, "spans", h.dropped)
		return nil
	}
	h.trouble.Worked("collector")
	h.dropped = 0
	return nil
}

// atDebug is a handler at which all is for debugging.
type atDebug struct{ slog.Handler }

// Enabled reports whether debug lines are.
func (h atDebug) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle writes a debug line.
func (h atDebug) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}
