package devstack

import (
	"context"
	"log/slog"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// logRequests writes a line for each request that the simulator has answered or dropped. The
// simulator's record has no body, token or secret.
func logRequests(log *slog.Logger) func(redoxsim.Arrival) {
	return func(a redoxsim.Arrival) {
		attrs := []slog.Attr{slog.String("method", a.Method), slog.String("path", a.Path), slog.Int("status", a.Status)}
		for _, text := range []struct{ name, value string }{
			{"event", eventName(a)}, {"source", a.Source}, {"client", a.KeyOwner}, {"token", string(a.Token)}, {"fault", a.Fault}, {"reason", a.Reason},
		} {
			if text.value != "" && text.value != "ok" {
				attrs = append(attrs, slog.String(text.name, text.value))
			}
		}
		attrs = append(attrs, slog.Int64("bytes", a.BodySize), slog.Duration("took", a.End.Sub(a.Start)))
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
	}
}

// eventName of a message is DataModel.EventType; "" of another request.
func eventName(a redoxsim.Arrival) string {
	if a.DataModel == "" && a.EventType == "" {
		return ""
	}
	return a.DataModel + "." + a.EventType
}
