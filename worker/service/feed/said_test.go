package feed

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
)

// witness asks for the status with each line about a problem.
type witness struct {
	slog.Handler
	feed  *Feed
	lines atomic.Int64
	t     *testing.T
}

func (w *witness) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "problem" {
			return true
		}
		w.lines.Add(1)
		there := slices.Contains(w.feed.Status().Problems, a.Value.String())
		if want := r.Level == slog.LevelWarn; there != want {
			w.t.Errorf("%s: in the status %v", r.Message, there)
		}
		return true
	})
	return nil
}

// Who reads in the log that something is wrong, or is so no more, is told the same by the status.
func TestFeed_TheStatusIsThereWhenTheLogIs(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	w := &witness{Handler: slog.NewJSONHandler(t.Output(), nil), feed: r.Feed, t: t}
	r.log = slog.New(w)
	for range 3 {
		r.write("sources.d/b.yaml", "sources: {clinic-b: {id: 1")
		r.Reread()
		r.write("sources.d/b.yaml", fileOf("clinic-b"))
		r.Reread()
	}
	if n := w.lines.Load(); n != 6 {
		t.Errorf("%d lines about problems, want 6", n)
	}
}
