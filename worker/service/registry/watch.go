package registry

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
)

const (
	// lookEvery is how often a watch asks whether anything has changed: one request.
	lookEvery = 500 * time.Millisecond
	// lookTimeout bounds one look.
	lookTimeout = 10 * time.Second
	// maxMissed is how many looks wait for a replica that is behind.
	maxMissed = 20
)

// Snapshot is what a watch knows of the registry. It is never changed.
type Snapshot struct {
	// Parts has one part for each source, by name. One that cannot be used, or was lost with
	// the bucket, has Problems: package config keeps its last good state.
	Parts []config.Part
	// Revision is that of the last change.
	Revision uint64
	// Err says why the registry cannot be read: then Parts are those of before. nil: it can.
	Err error
}

// Watch calls changed with the state of the registry, as soon as that is known and after each
// change, until ctx ends. It is called in Watch's goroutine, never twice at once. Trouble is
// no end: NATS that is away, a bucket that is not there yet or was removed leave what was
// known, and changed is told once, also when it is over. A source goes when somebody removes it
// by name, and not with a bucket that is lost, emptied or made anew.
//
// A worker needs the rights to STREAM.INFO and DIRECT.GET of the bucket's stream, no others.
func (r *Registry) Watch(ctx context.Context, changed func(Snapshot)) {
	w := &watch{registry: r, entries: make(map[string]Entry), held: make(map[string]bool), changed: changed}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.tell(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watch is what a Watch has seen.
type watch struct {
	registry *Registry
	changed  func(Snapshot)

	stream  jetstream.Stream
	created time.Time        // of the bucket that was read; zero: none
	seen    uint64           // the last sequence number that was read
	entries map[string]Entry // by key, and those that were lost
	held    map[string]bool  // keys of which the bucket has a message, removals included
	missed  int              // looks in a row that found nothing where there should be something

	told    bool
	failed  bool
	touched bool // since changed was called
}

// look reads what is new. Where it fails, the next look reads it again.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	info, err := w.info(ctx)
	if err != nil {
		return err
	}
	if !info.Created.Equal(w.created) || info.State.LastSeq < w.seen {
		return w.readAll(ctx, info)
	}
	if info.State.LastSeq > w.seen {
		found, err := w.registry.read(ctx, w.stream, w.seen+1, info.State.LastSeq)
		if err != nil {
			return err
		}
		w.take(found)
		// The replica that was asked may be behind. Otherwise the last message is gone.
		if w.missed++; w.seen == info.State.LastSeq || w.missed > maxMissed {
			w.seen, w.missed = info.State.LastSeq, 0
		}
	}
	if info.State.LastSeq == w.seen && info.State.Msgs != uint64(len(w.held)) { // emptied without a word
		return w.readAll(ctx, info)
	}
	return nil
}

func (w *watch) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	if w.stream == nil {
		stream, err := w.registry.stream(ctx)
		if err != nil {
			return nil, err
		}
		w.stream = stream
	}
	info, err := w.stream.Info(ctx)
	if err != nil {
		w.stream = nil
		if _, missing := w.registry.stream(ctx); missing != nil {
			err = missing // it says what to do
		}
	}
	return info, err
}

// readAll reads the whole bucket. What it does not have, and nobody removed, is lost.
func (w *watch) readAll(ctx context.Context, info *jetstream.StreamInfo) error {
	found, err := w.registry.read(ctx, w.stream, 1, info.State.LastSeq)
	if err != nil {
		return err
	}
	anew := w.created.IsZero() || !info.Created.Equal(w.created)
	w.created, w.seen, w.held = info.Created, 0, make(map[string]bool)
	w.touched = w.touched || anew
	w.take(found)
	for key, e := range w.entries {
		if !w.held[key] && e.Revision != 0 {
			w.entries[key] = Entry{Name: e.Name, Part: w.registry.damaged(e.Name, "is not in the registry any more, and nobody has removed it",
				"add it again with `redoxworker sources add "+e.Name+"`, or remove it with `redoxworker sources rm "+e.Name+"`")}
			w.touched = true
		}
	}
	return nil
}

// take puts what was read in place.
func (w *watch) take(found []Entry) {
	for _, e := range found {
		w.held[e.key], w.touched = true, true
		w.seen = max(w.seen, e.Revision)
		if e.removed {
			delete(w.entries, e.key)
		} else {
			w.entries[e.key] = e
		}
	}
}

// tell calls changed where there is something to tell.
func (w *watch) tell(err error) {
	if w.told && !w.touched && (err != nil) == w.failed {
		return
	}
	s := Snapshot{Revision: w.seen, Err: err, Parts: make([]config.Part, 0, len(w.entries))}
	for _, key := range slices.Sorted(maps.Keys(w.entries)) {
		s.Parts = append(s.Parts, w.entries[key].Part)
	}
	w.told, w.failed, w.touched = true, err != nil, false
	w.changed(s)
}
