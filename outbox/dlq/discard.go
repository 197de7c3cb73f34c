package dlq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// DiscardOptions configures a discard. The zero value works.
type DiscardOptions struct {
	// DryRun changes nothing and says what would be done.
	DryRun bool
}

// Discard deletes the dead letters of s for good, bodies included, and yields what
// became of each. An error is the last thing it yields. It may be ended at any
// time and run again; what is under way then is finished first.
//
// A body in the object store goes with the last dead letter that names it, unless a
// message in the work queue names it too. If a replay was interrupted at a dead letter,
// and its message is in the work queue or was settled, Discard completes the replay
// instead, with the Outcome [AlreadyReplayed].
//
// With order.after_dead_letter hold, messages that waited behind it stop waiting for it. For
// one order token, up to 256 runs of messages may be discarded while others wait before
// them; beyond that a dead letter stays, with the Outcome [Behind], until those were
// replayed or discarded.
func (d *Store) Discard(ctx context.Context, s Selection, o DiscardOptions) iter.Seq2[Handled, error] {
	return func(yield func(Handled, error) bool) {
		objects := objectUse{letters: d}
		d.each(ctx, s, 0, yield, func(ctx context.Context, q queueState, e entry) (Handled, error) {
			work, cancel := lingering(ctx)
			defer cancel()
			x := discarding{letters: d, entry: e, queue: q, objects: &objects}
			return x.run(work, o.DryRun)
		})
	}
}

// discarding is one dead letter on its way out.
type discarding struct {
	letters *Store
	entry   entry
	queue   queueState
	objects *objectUse
}

func (x discarding) run(ctx context.Context, dry bool) (Handled, error) {
	d := x.letters
	l, err := d.read(ctx, x.entry.sequence)
	if errors.Is(err, ErrNotFound) {
		return Handled{DeadSequence: x.entry.sequence, Outcome: Gone}, nil
	}
	if err != nil {
		return Handled{}, err
	}
	if dry {
		return l.handled(Discarded, nil), nil
	}
	c, err := d.lock(ctx, x.entry, lock{})
	for tries := 0; err == nil && tries < lockTries; tries++ {
		if c.discards() {
			return x.remove(ctx, l, c)
		}
		if time.Since(c.made) < d.busy {
			return l.handled(Busy, errors.New("another run is replaying or rewrapping it")), nil
		}
		var published bool
		if published, err = x.published(ctx, l, c); err != nil {
			break
		}
		if published {
			if err := d.delete(ctx, x.entry); err != nil {
				return Handled{}, err
			}
			h := l.handled(AlreadyReplayed, nil)
			h.ReplayID = c.ID
			return h, d.unlock(ctx, x.entry, c)
		}
		var ok bool
		if c, ok, err = d.relock(ctx, x.entry, c, lock{}); err == nil && !ok {
			c, err = d.lock(ctx, x.entry, lock{})
		}
	}
	if err == nil {
		err = fmt.Errorf("outbox: dead letter %d: other runs are at it all the time; run this one again", x.entry.sequence)
	}
	return Handled{}, err
}

// published reports whether the replay of an interrupted run was stored.
func (x discarding) published(ctx context.Context, l Stored, c lock) (bool, error) {
	d := x.letters
	if !c.replays() {
		return false, nil
	}
	r, err := l.replay(d.config.Prefix, c.ID, c.N, time.Now())
	if err != nil {
		return false, nil // then it was never sent either
	}
	return d.published(ctx, r, c)
}

// remove takes the steps of a discard. The body goes last: there is never a dead
// letter without one.
func (x discarding) remove(ctx context.Context, l Stored, c lock) (Handled, error) {
	d := x.letters
	l, err := x.newest(ctx, l)
	if err != nil {
		return Handled{}, err
	}
	x.entry.sequence = l.DeadSequence
	if at, ordered := l.Place(d.config.Prefix); ordered {
		full, err := d.held.skip(ctx, at)
		if err != nil {
			return Handled{}, err
		}
		if full {
			return l.handled(Behind, errGaps), d.unlock(ctx, x.entry, c)
		}
		if err := d.crash("skipped"); err != nil {
			return Handled{}, err
		}
	}
	last, err := x.objects.drop(ctx, l)
	if err == nil {
		err = d.crash("dropped")
	}
	if err != nil {
		return Handled{}, err
	}
	if err := d.delete(ctx, x.entry); err != nil {
		return Handled{}, err
	}
	if last {
		if err := d.bodies.Delete(ctx, l.Object()); err != nil {
			return Handled{}, err
		}
	}
	return l.handled(Discarded, nil), d.unlock(ctx, x.entry, c)
}

// newest is what stands in the place of l, which is deleted then: a rewrap was cut off between the two.
func (x discarding) newest(ctx context.Context, l Stored) (Stored, error) {
	d := x.letters
	newer, err := d.superseded(ctx, l)
	if err != nil || newer == 0 {
		return l, err
	}
	at, err := d.read(ctx, newer)
	if errors.Is(err, ErrNotFound) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	return at, d.delete(ctx, x.entry)
}

var errGaps = fmt.Errorf("%d runs of its order token were discarded already while earlier dead letters wait; replay or discard those first", maxGaps)

// objectUse knows which objects are named by dead letters and by messages in the
// work queue. It looks when the first object is about to go.
type objectUse struct {
	letters *Store

	mu     sync.Mutex
	dead   map[string]map[uint64]bool // object: dead letters that name it
	queued map[string]map[string]bool // source: objects that its messages name
}

// drop forgets that a dead letter names its object and reports whether nothing else
// does: then the object may be deleted.
func (u *objectUse) drop(ctx context.Context, l Stored) (last bool, err error) {
	name := l.Object()
	if name == "" || l.Source == "" || !strings.HasPrefix(name, contract.BodyName(l.Source, "")) {
		return false, nil // what another source has stored is none of its business
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	// The queue first: what leaves it for the dead letters meanwhile is seen there.
	if u.queued == nil {
		u.queued = map[string]map[string]bool{}
	}
	if u.queued[l.Source] == nil {
		if u.queued[l.Source], err = u.letters.queuedObjects(ctx, l.Source); err != nil {
			return false, err
		}
		u.dead = nil
	}
	if u.dead == nil {
		if u.dead, err = u.letters.deadObjects(ctx); err != nil {
			return false, err
		}
	}
	delete(u.dead[name], l.DeadSequence)
	return len(u.dead[name]) == 0 && !u.queued[l.Source][name], nil
}

// deadObjects are the objects that dead letters name.
func (d *Store) deadObjects(ctx context.Context) (map[string]map[uint64]bool, error) {
	all := map[string]map[uint64]bool{}
	for l, err := range d.List(ctx, Query{}) {
		if errors.As(err, new(*UnreadableError)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if name := l.Object(); name != "" {
			if all[name] == nil {
				all[name] = map[uint64]bool{}
			}
			all[name][l.DeadSequence] = true
		}
	}
	return all, nil
}

// queuedObjects are the objects that messages of a source in the work queue name.
func (d *Store) queuedObjects(ctx context.Context, source string) (map[string]bool, error) {
	names := map[string]bool{}
	err := d.queue.Each(ctx, d.config.Prefix.String()+".out."+source+".>", func(msg *jetstream.RawStreamMsg) error {
		if name := wire.First(msg.Header, contract.HeaderBodyObject); name != "" {
			names[name] = true
		}
		return nil
	})
	return names, jsapi.Explain(err, d.js, "look for what names a body in the work queue")
}
