package logsample

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Trouble tells a log of a state that any number of members, such as consumers, may be in.
// A line is written when the first of them fails, when one fails in a way that none has
// failed since, and when all work again; while any fails, a line of each way is written once
// a minute with how long that has been so, how often it failed and for how many. It is safe
// for concurrent use.
type Trouble struct {
	log  *slog.Logger
	over string

	active   atomic.Bool // since is set
	mu       sync.Mutex
	since    time.Time
	failures int
	most     int // members at once
	ways     map[string]*way
	members  map[string]*way
}

// way is one way to fail.
type way struct {
	since    time.Time
	said     time.Time // when its last line was written
	failures int
	members  map[string]struct{}
}

// NewTrouble returns a state that nobody is in. over is the text of the line that says that
// all work again.
func NewTrouble(l *slog.Logger, over string) *Trouble {
	return &Trouble{log: l, over: over, ways: make(map[string]*way), members: make(map[string]*way)}
}

// Began notes that a member fails in the way that text says, where the log has been told of
// it already: its first line is due in a minute.
func (t *Trouble) Began(member, text string) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, first := t.join(member, text, now); first {
		w.said = now
	}
}

// Failed notes that a member failed in the way that text says. The attributes and the error
// are those of the line, should one be due: they may name the member. A nil error is left out.
func (t *Trouble) Failed(member, text string, err error, attrs ...any) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	w, first := t.join(member, text, now)
	t.failures++
	w.failures++
	if !first && now.Sub(w.said) < interval {
		return
	}
	w.said = now
	if !first {
		attrs = append(slices.Clip(attrs), "for", now.Sub(w.since).Round(time.Second), "failures", w.failures)
		if len(w.members) > 1 {
			attrs = append(attrs, "affected", len(w.members), "among", some(w.members))
		}
	}
	if err != nil {
		attrs = append(slices.Clip(attrs), "error", err)
	}
	t.log.Warn(text, attrs...)
}

// join has a member fail in one way, and in no other. t.mu is held.
func (t *Trouble) join(member, text string, now time.Time) (w *way, first bool) {
	if t.since.IsZero() {
		t.since = now
		t.active.Store(true)
	}
	w = t.ways[text]
	first = w == nil
	if first {
		w = &way{since: now, members: make(map[string]struct{})}
		t.ways[text] = w
	}
	if was := t.members[member]; was != nil && was != w {
		delete(was.members, member)
	}
	t.members[member] = w
	w.members[member] = struct{}{}
	t.most = max(t.most, len(t.members))
	return w, first
}

// Worked notes that a member works, and reports whether that ends the trouble: then the
// attributes are those of its last line. While there is no trouble it costs next to nothing.
func (t *Trouble) Worked(member string, attrs ...any) (ended bool) {
	if !t.active.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(member)
	if len(t.members) > 0 || t.since.IsZero() {
		return false
	}
	attrs = append(slices.Clip(attrs), "for", time.Since(t.since).Round(time.Millisecond), "failures", t.failures)
	if t.most > 1 {
		attrs = append(attrs, "affected", t.most)
	}
	t.log.Info(t.over, attrs...)
	t.since, t.failures, t.most = time.Time{}, 0, 0
	clear(t.ways)
	t.active.Store(false)
	return true
}

// Gone notes that there is no such member any more. That does not end the trouble: the
// next one that works does, when no other fails.
func (t *Trouble) Gone(member string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(member)
}

// drop forgets a member. t.mu is held.
func (t *Trouble) drop(member string) {
	if w := t.members[member]; w != nil {
		delete(w.members, member)
		delete(t.members, member)
	}
}

// some names the first of many.
func some(members map[string]struct{}) string {
	list := slices.Sorted(maps.Keys(members))
	if more := len(list) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:maxNames], ", "), more)
	}
	return strings.Join(list, ", ")
}
