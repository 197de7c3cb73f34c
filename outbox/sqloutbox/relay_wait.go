package sqloutbox

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	firstWait = time.Second
	lastWait  = time.Minute
)

// wait is about a source that NATS refuses: its rows are left out until one of them gets
// through, so that they hold up nobody else's.
type wait struct {
	from   map[*lane]int64 // no row of the source that waits is below
	until  time.Time
	length time.Duration
	reason string
	busy   bool // it is being tried
}

// pause is about all sources: what failed is not one source's.
type pause struct {
	until  time.Time
	length time.Duration
	reason string
}

// next is the wait after one: 1, 2, 4, ... s, at most a minute, less up to a fifth of it.
func next(before time.Duration) time.Duration { return min(max(2*before, firstWait), lastWait) }

func until(length time.Duration) time.Time {
	return time.Now().Add(length - rand.N(length/5))
}

// refuse has a source wait.
func (r *Relay) refuse(source string, err error) {
	if r.addWait(source, err) {
		r.log.Warn("outbox: the rows of a source wait", "source", source, "error", err)
	}
}

// addWait reports whether the source did not wait before.
func (r *Relay) addWait(source string, err error) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[source]
	if first = w == nil; first {
		w = &wait{from: make(map[*lane]int64, len(r.lanes))}
		for _, l := range r.lanes {
			if w.from[l] = l.floor; l.begun > 0 {
				w.from[l] = min(l.floor, l.begun)
			}
		}
		r.waiting[source] = w
	}
	delete(r.proved, source)
	if w.busy || time.Now().After(w.until) {
		w.length = next(w.length)
		w.until = until(w.length)
	}
	w.reason, w.busy = err.Error(), false
	return first
}

// release ends the wait of a source: its rows are looked for from the first that waited.
func (r *Relay) release(source string) {
	if r.endWait(source) {
		r.log.Info("outbox: a source is published again", "source", source)
		r.box.Kick()
	}
}

// endWait reports whether the source waited.
func (r *Relay) endWait(source string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[source]
	if w == nil {
		return false
	}
	delete(r.waiting, source)
	for l, from := range w.from {
		l.floor, l.lowered = min(l.floor, from), min(l.lowered, from)
	}
	return true
}

func (r *Relay) isRefused(source string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.waiting[source] != nil
}

// stop has all wait.
func (r *Relay) stop(err error) {
	if r.addPause(err) {
		r.log.Warn("outbox: nothing can be published; trying again", "error", err)
	}
}

// addPause reports whether messages got through before.
func (r *Relay) addPause(err error) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.pause.until) {
		return false
	}
	first = r.pause.length == 0
	r.pause.length = min(next(r.pause.length), 10*time.Second)
	r.pause.until, r.pause.reason = until(r.pause.length), err.Error()
	return first
}

// confirmed notes that a message of a source got through.
func (r *Relay) confirmed(source string) {
	r.mu.Lock()
	paused := r.pause.length > 0
	r.pause = pause{}
	r.proved[source] = time.Now()
	r.stats.Relayed[source]++
	r.mu.Unlock()
	if paused {
		r.log.Info("outbox: messages are published again")
	}
}

// isProved reports whether a source got a message through just now.
func (r *Relay) isProved(source string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.proved[source]) < 10*time.Second
}

// paused is how long all have to wait still.
func (r *Relay) paused() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, time.Until(r.pause.until))
}

// looked keeps the outcome of a look at the table.
func (r *Relay) looked(err error) {
	r.mu.Lock()
	before := r.stats.Trouble
	r.stats.Trouble = ""
	if err != nil {
		r.stats.Trouble = err.Error()
	} else if time.Now().Before(r.pause.until) {
		r.stats.Trouble = r.pause.reason
	}
	now := r.stats.Trouble
	r.mu.Unlock()
	switch {
	case err == nil:
		if before != "" && now == "" {
			r.log.Info("outbox: the table is read again")
		}
	case before == "":
		r.log.Warn("outbox: cannot relay; trying again", "error", err)
	}
}

// probeAll tries the sources that wait, one row of each, when their time has come.
func (r *Relay) probeAll(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	slots := make(chan struct{}, 8)
	for {
		select {
		case <-ctx.Done():
			for range cap(slots) {
				slots <- struct{}{}
			}
			return
		case <-tick.C:
		}
		for _, source := range r.due() {
			select {
			case <-ctx.Done():
			case slots <- struct{}{}:
				go func() {
					defer func() { <-slots }()
					r.tryOne(ctx, source)
				}()
			}
		}
	}
}

// due are sources whose wait is over; they count as being tried.
func (r *Relay) due() (sources []string) {
	if r.paused() > 0 || !r.js.Conn().IsConnected() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for source, w := range r.waiting {
		if !w.busy && time.Now().After(w.until) {
			w.busy = true
			sources = append(sources, source)
		}
	}
	return sources
}

// waitsFrom is the row from which on a source waits.
func (r *Relay) waitsFrom(source string) (from int64, waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[source]
	if w == nil {
		return 0, false
	}
	return slices.Min(slices.Collect(maps.Values(w.from))), true
}

// tryOne probes a source; what fails is the database, whose trouble is everybody's.
func (r *Relay) tryOne(ctx context.Context, source string) {
	from, waits := r.waitsFrom(source)
	if !waits {
		return
	}
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("sqloutbox: the relay panicked (%T)", p)
			}
		}()
		return r.probe(ctx, source, from)
	}()
	if err != nil {
		r.refuse(source, err)
	}
}
