package devstack

import (
	"context"
	"log/slog"
	"net/http"
	"sync"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// requestLog writes a line for each request that the simulator has answered or dropped. The
// simulator's record has no body, token or secret.
type requestLog struct {
	redox *redoxsim.Server
	log   *slog.Logger

	mu     sync.Mutex
	cursor uint64          // every arrival up to here is logged
	ahead  map[uint64]bool // logged arrivals after the cursor
}

// ServeHTTP passes the request on, and logs also when its handler drops the connection.
func (l *requestLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.log.Enabled(r.Context(), slog.LevelInfo) {
		defer l.flush(context.WithoutCancel(r.Context()))
	}
	l.redox.ServeHTTP(w, r)
}

// flush logs what has finished since the last time.
func (l *requestLog) flush(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ahead == nil {
		l.ahead = map[uint64]bool{}
	}
	complete := true // everything before this arrival is logged
	for _, a := range l.redox.ArrivalsAfter(l.cursor, 0) {
		if a.Finish == 0 {
			complete = false
			continue
		}
		if !l.ahead[a.Seq] {
			l.write(ctx, a)
		}
		if complete {
			l.cursor = a.Seq
			delete(l.ahead, a.Seq)
		} else {
			l.ahead[a.Seq] = true
		}
	}
}

func (l *requestLog) write(ctx context.Context, a redoxsim.Arrival) {
	attrs := []slog.Attr{slog.String("method", a.Method), slog.String("path", a.Path), slog.Int("status", a.Status)}
	for _, text := range []struct{ name, value string }{
		{"event", eventName(a)}, {"source", a.Source}, {"client", a.KeyOwner}, {"token", string(a.Token)}, {"fault", a.Fault}, {"reason", a.Reason},
	} {
		if text.value != "" && text.value != "ok" {
			attrs = append(attrs, slog.String(text.name, text.value))
		}
	}
	attrs = append(attrs, slog.Int64("bytes", a.BodySize), slog.Duration("took", a.End.Sub(a.Start)))
	l.log.LogAttrs(ctx, slog.LevelInfo, "request", attrs...)
}

// eventName of a message is DataModel.EventType; "" of another request.
func eventName(a redoxsim.Arrival) string {
	if a.DataModel == "" && a.EventType == "" {
		return ""
	}
	return a.DataModel + "." + a.EventType
}
