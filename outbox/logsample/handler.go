package logsample

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// What of a kind passes.
const (
	interval    = time.Minute
	burst       = 10   // lines of a kind in one interval
	maxVariants = 16   // errors that a kind is written with at once, even in a flood
	maxKinds    = 1000 // remembered; what is beyond is one kind
	maxNames    = 10   // in one line
)

// Handler passes records on to another handler, up to 10 of a kind in a minute. Those above
// that are counted, and one line a minute stands for them until a minute passes without any:
// it is the latest record, with the attribute suppressed (how many others there were since
// the last line) and up to ten of their messages and sources. A record whose error, reason,
// settlement, status, class or scope is new in a flood is passed at once, up to 16 times.
//
// Records are of one kind when level and message are the same. Those below Info are not
// sampled. The first record of a kind is never held. It is safe for concurrent use.
type Handler struct {
	next  slog.Handler
	kinds *kinds
}

// NewHandler returns a handler that samples what next gets.
func NewHandler(next slog.Handler) *Handler {
	return &Handler{next: next, kinds: &kinds{of: make(map[kindKey]*kind)}}
}

// Wrap returns a logger that samples what l writes; l itself when it does so already.
func Wrap(l *slog.Logger) *slog.Logger {
	if _, ok := l.Handler().(*Handler); ok {
		return l
	}
	return slog.New(NewHandler(l.Handler()))
}

// Flush has the logger write at once what a [Handler] of it has held. Call it before the
// process ends. A logger without one is left alone.
func Flush(l *slog.Logger) {
	if h, ok := l.Handler().(*Handler); ok {
		h.kinds.flush()
	}
}

// Enabled reports whether the next handler wants records of a level.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs returns a handler that counts together with this one.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(attrs), kinds: h.kinds}
}

// WithGroup returns a handler that counts together with this one.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), kinds: h.kinds}
}

// Handle passes the record on, or counts it.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !h.kinds.admit(h.next, r) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// kinds is what is known of each kind.
type kinds struct {
	mu sync.Mutex
	of map[kindKey]*kind
}

type kindKey struct {
	level   slog.Level
	message string
}

// kind is the present interval of one kind. It is forgotten after one in which nothing was
// held.
type kind struct {
	began    time.Time
	lines    int // passed in this interval
	flood    bool
	variants map[string]struct{}
	held     held
}

// held is what was not written since the last line.
type held struct {
	count    int
	next     slog.Handler // of latest
	latest   slog.Record
	messages names
	sources  names
}

// admit reports whether a record is to be written now.
func (s *kinds) admit(next slog.Handler, r slog.Record) bool {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kind(kindKey{r.Level, r.Message}, now)
	fresh := k.vary(r)
	if !k.flood && k.lines < burst {
		k.lines++
		return true
	}
	if fresh {
		return true
	}
	if !k.flood {
		k.flood = true
		time.AfterFunc(k.began.Add(interval).Sub(now), func() { s.remind(k) })
	}
	k.held.add(next, r)
	return false
}

// kind finds or begins one.
func (s *kinds) kind(key kindKey, now time.Time) *kind {
	k := s.of[key]
	if k == nil && len(s.of) >= maxKinds {
		s.forget(now)
		if len(s.of) >= maxKinds {
			key.message = ""
			k = s.of[key]
		}
	}
	if k == nil || !k.flood && now.Sub(k.began) >= interval {
		k = &kind{began: now, variants: make(map[string]struct{})}
		s.of[key] = k
	}
	return k
}

// forget drops what is over.
func (s *kinds) forget(now time.Time) {
	for key, k := range s.of {
		if !k.flood && now.Sub(k.began) >= interval {
			delete(s.of, key)
		}
	}
}

// remind writes the line of a flood, again after each interval until one brings nothing.
func (s *kinds) remind(k *kind) {
	s.mu.Lock()
	if k.held.count == 0 {
		k.flood, k.began = false, time.Time{}
		s.mu.Unlock()
		return
	}
	h := k.take()
	time.AfterFunc(interval, func() { s.remind(k) })
	s.mu.Unlock()
	h.write()
}

// flush writes the lines of all floods.
func (s *kinds) flush() {
	s.mu.Lock()
	var all []held
	for _, k := range s.of {
		if k.held.count > 0 {
			all = append(all, k.take())
		}
	}
	s.mu.Unlock()
	for _, h := range all {
		h.write()
	}
}

// take empties what is held.
func (k *kind) take() held {
	h := k.held
	k.held = held{}
	return h
}

// vary reports whether what the record says of its cause was not said before in the flood.
func (k *kind) vary(r slog.Record) bool {
	variant := ""
	r.Attrs(func(a slog.Attr) bool {
		if slices.Contains([]string{"error", "reason", "settlement", "status", "class", "scope"}, a.Key) {
			variant += a.Key + "=" + a.Value.String() + "\n"
		}
		return true
	})
	if _, known := k.variants[variant]; known || len(k.variants) >= maxVariants {
		return false
	}
	k.variants[variant] = struct{}{}
	return true
}

func (h *held) add(next slog.Handler, r slog.Record) {
	h.count++
	h.next, h.latest = next, r.Clone()
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "message":
			h.messages.add(a.Value.String())
		case "source":
			h.sources.add(a.Value.String())
		}
		return true
	})
}

// write passes the latest record on, with what it stands for.
func (h *held) write() {
	r := h.latest
	if h.count > 1 {
		r.AddAttrs(slog.Int("suppressed", h.count-1))
		h.messages.show("messages", &r)
		h.sources.show("sources", &r)
	}
	ctx := context.Background()
	if h.next.Enabled(ctx, r.Level) {
		_ = h.next.Handle(ctx, r) // there is nobody to tell
	}
}

// names are the first of many.
type names struct {
	list []string
	more bool
}

func (n *names) add(name string) {
	switch {
	case slices.Contains(n.list, name):
	case len(n.list) < maxNames:
		n.list = append(n.list, name)
	default:
		n.more = true
	}
}

// show adds them to a record where there is more than one.
func (n *names) show(key string, r *slog.Record) {
	if len(n.list) < 2 {
		return
	}
	if n.more {
		n.list = append(n.list, "and more")
	}
	r.AddAttrs(slog.Any(key, n.list))
}
