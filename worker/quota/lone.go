package quota

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// requests is the limit that this worker keeps to in a book: its share in one of its own. A
// book that is shared must not shrink to that: what it lost would be free when it grows again.
func (g *Governor) requests(b *book) int {
	if b == g.lone.book {
		return g.lone.share
	}
	return g.cfg.Requests
}

func (g *Governor) hadTurn() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fleet.known
}

// openBook reads a book or makes one in place of what is not there or is damaged. lost says
// that there was one before, although this worker has not seen it.
func (g *Governor) openBook(data []byte, lost bool) (*book, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.now()
	l := newLimits(g.cfg.Requests, g.cfg.Per, g.cfg.Reserve)
	g.lone.damage = ""
	if data == nil {
		if !g.fleet.known && !lost {
			return newBook(l, now.lo-l.grain), nil
		}
		return g.makeAnew(l, now, g.spare, "is gone"), nil
	}
	b, err := decodeBook(data)
	switch {
	case err != nil:
		return g.makeAnew(l, now, g.spare, "is damaged: "+err.Error()), nil
	case !b.plausible(newLimits(b.Requests, time.Duration(b.Per), 0), now):
		return g.makeAnew(l, now, g.spare, "is damaged, or of another clock: it speaks of a time that has yet to come"), nil
	}
	return g.enter(l, now, b), nil
}

// enter finds this worker's place in a book.
func (g *Governor) enter(l limits, now moment, b *book) *book {
	t := g.tenure
	g.resolve(b)
	own, held := b.Allotments[t.id]
	anew := b.Unknown > now.lo && b.Unknown != g.remade
	switch {
	case t.until == 0:
	case anew && (g.lone.book != nil || now.hi < t.until):
		b.join(g.ownPart(now, g.spare), t.id) // else the turn finds that the allotment is gone
	case anew && held && own.Turn != t.noted:
		b.disown(t.id)
	case g.lone.book != nil:
		return g.makeAnew(l, now, b, "was not to be had, and others may have gone on alone as well")
	case held && own.Turn < t.noted:
		return g.makeAnew(l, now, g.spare, "is older than what this worker has written")
	}
	return b
}

// makeAnew is a book in place of one that is lost, of which last is what is known.
func (g *Governor) makeAnew(l limits, now moment, last *book, why string) *book {
	g.lone.damage = why
	t := g.tenure
	t.undo()
	// Where there were others, a worker whose allotment has ended does not know what they did since.
	stale := g.lone.book == nil && now.hi >= t.until && last != nil && len(last.Allotments) > 1
	if last == nil || t.until == 0 || stale {
		if t.until > 0 {
			g.newTenure()
		}
		return blank(l, now)
	}
	return last.anew(newLimits(last.Requests, time.Duration(last.Per), 0), now, g.ownPart(now, g.spare), t.id)
}

// ownPart is what this worker may put into a book that was made anew.
func (g *Governor) ownPart(now moment, last *book) *book {
	if g.lone.book != nil {
		return g.lone.book
	}
	return last.part(newLimits(last.Requests, time.Duration(last.Per), 0), now, g.tenure.id, g.tenure.among.known)
}

// refusedAt notes that a book could not be replaced because the bucket takes nothing.
func (g *Governor) refusedAt(revision uint64, err error) error {
	if errors.Is(err, errConflict) || !errors.As(err, new(*jetstream.APIError)) {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lone.refused != revision || g.lone.since == 0 {
		g.lone.refused, g.lone.since = revision, g.clock.now().lo
	}
	return err
}

// orphaned reports whether there is no book for anybody: the bucket does not exist, or
// nobody has been able to write into it for some turns.
func (g *Governor) orphaned(err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if errors.Is(err, errGone) {
		g.lone.gone++
	} else {
		g.lone.gone = 0
	}
	frozen := errors.As(err, new(*jetstream.APIError)) && g.lone.since > 0 && g.clock.now().lo >= g.lone.since+g.limits.life/2
	return g.spare != nil && (g.lone.gone > 1 || frozen)
}

// partAlone is what this worker goes on with alone; nil while not all others know of it. Where
// there were others, and its allotment has ended, all of it counts as used until now.
func (g *Governor) partAlone(now moment) *book {
	p := g.ownPart(now, g.spare)
	switch {
	case !g.tenure.among.known, p.Requests < 1:
		return nil
	case now.hi < g.tenure.until, len(g.spare.Allotments) < 2:
		return p
	}
	g.newTenure()
	l := newLimits(p.Requests, time.Duration(p.Per), 0)
	return &book{Requests: p.Requests, Per: p.Per, Free: []cell{{l.unknown(now), p.Requests}}, Allotments: make(map[string]allotment)}
}

// turnAlone is a turn at a book of this worker's own. It answers how many grants it brought.
func (g *Governor) turnAlone(err error) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tenure.undo()
	if g.lone.book == nil {
		p := g.partAlone(g.clock.now())
		if p == nil {
			return 0
		}
		// An allotment may be more than a share: it shrinks as its grants come back.
		g.lone.book, g.lone.share = p, min(p.Requests, max(1, g.spare.Requests/max(1, len(g.spare.Allotments))))
		g.log.Warn("quota: there is no book to share; this worker goes on within its last share of the limit", "group", g.cfg.Group,
			"share", g.lone.share, "limit", g.cfg.Requests, "per", g.cfg.Per, "error", err)
	}
	g.putIn(g.lone.book)
	spare, remade := g.spare, g.remade
	got := g.confirm()
	g.spare, g.remade = spare, remade
	return got
}

// together ends the time alone: a shared book was written. g.mu is held.
func (g *Governor) together() {
	if g.lone.damage != "" {
		g.log.Warn("quota: the book was made anew; what others may have used counts as used for one window", "group", g.cfg.Group,
			"key", Key(g.cfg.Group), "reason", "it "+g.lone.damage)
	}
	if g.lone.book != nil {
		g.log.Info("quota: the limit is shared again", "group", g.cfg.Group)
	}
	g.lone = lone{trouble: g.lone.trouble}
}

// noteFailure tells the log about turns that fail: at a change, and now and then.
func (g *Governor) noteFailure(err error, failed *bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	*failed, g.lone.trouble = err != nil, ""
	if err == nil {
		g.turns.Worked(g.cfg.Group)
		return
	}
	g.turns.Failed(g.cfg.Group, "quota: no turn at the book; what is allotted is used up, then requests wait or go within the last share", err,
		"group", g.cfg.Group, "share", g.lone.share)
	g.metrics.failures.Inc()
	g.lone.trouble = fmt.Sprintf("no turn at the shared book: %v", err)
}
