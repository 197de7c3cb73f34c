package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
)

const (
	// publishTime bounds the publishing of a batch: a lane is locked meanwhile, and on SQLite
	// leased.
	publishTime      = 10 * time.Second
	publishTimeLease = 2 * time.Second
	// grace is how long a batch waits for its last rows once others got through, and mebibyte
	// what it waits longer for each of large ones, up to mostPatience: what is slow must not hold
	// up the lane, and has more time outside of it.
	grace        = 500 * time.Millisecond
	mebibyte     = 50 * time.Millisecond
	mostPatience = 1500 * time.Millisecond
	// unheardTime is what a batch waits longer when nothing got through and NATS refuses something.
	unheardTime = time.Second
	// largeMessage is how large a message is that is published outside of its lane when it is slow.
	largeMessage = 1 << 20
)

// outcome of publishing a row.
type outcome uint8

const (
	left   outcome = iota // it was not tried
	stored                // it is confirmed
	unsure                // it may be stored
	free                  // it surely is not stored
	failed                // it can never be published
)

// item is a row on its way.
type item struct {
	row
	lane    int
	late    bool   // the queue may have a try of it, and have forgotten its id
	server  string // of NATS, which surely knows an earlier try; "" without one
	outcome outcome
	reason  string // of failed
}

// lateReason is why a row is held whose message may be in the queue; see [LateHold].
const lateReason = "it may be in the queue already, and the queue may have forgotten its id: look at the replies, or at Redox, before it is retried"

func (i *item) large() bool { return i.bytes >= largeMessage }

func (i *item) scan(rows *sql.Rows) error {
	return rows.Scan(&i.seq, &i.id, &i.source, &i.token, &i.request, &i.sealed, &i.lane, &i.bytes, &i.message)
}

// judge looks at what is known of earlier tries of the rows, and notes this one.
func (r *Relay) judge(b *batch) {
	for _, i := range b.items {
		r.judgeOne(i, b.noted, b.now, b.epoch, b.server)
	}
}

func (r *Relay) judgeOne(i *item, n noted, now float64, epoch, server string) {
	if one, probed := n.probes[i.seq]; probed {
		n.tries.note(i.seq, one)
	}
	before, tried := n.tries[i.seq]
	if tried && !before.late(now, epoch) {
		i.server = server
	}
	if tried && before.late(now, epoch) {
		i.late = true
		if r.config.OnLate == LateHold {
			i.outcome, i.reason = failed, lateReason
		}
	}
	n.tries.note(i.seq, try{now, epoch})
}

// publishAll publishes the rows of a batch: those of an order key one after the other, others
// side by side. It returns when all are done, when the time is up, or when the rest is slow.
func (r *Relay) publishAll(ctx context.Context, b *batch) {
	most := publishTime
	if r.box.dialect == SQLite {
		most = publishTimeLease
	}
	stopping := ctx
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	w := &watch{conn: r.js.Conn(), before: r.js.Conn().LastError(), last: time.Now(), under: map[*item]bool{}}
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { w.run(ctx, stopping, most, cancel) })
	slots := make(chan struct{}, r.config.Concurrency)
	var all sync.WaitGroup
	for _, source := range bySource(b.items) {
		pilot := make(chan struct{})
		proved := r.isProved(source[0][0].source)
		for n, group := range source {
			g := &groupRun{items: group, slots: slots, watch: w, stopping: stopping}
			if n == 0 {
				g.first = sync.OnceFunc(func() { close(pilot) })
			} else if !proved {
				g.after = pilot // one row shows whether a source may publish
			}
			all.Go(func() { r.publishGroup(ctx, g) })
		}
	}
	all.Wait()
	if cause := context.Cause(ctx); cause != nil && stopping.Err() == nil && w.none() && !isOfSource(cause) {
		r.stop(cause)
	}
}

// bySource are the groups of rows that wait for each other, those of a source together, the
// sources with the fewest rows first.
func bySource(items []*item) (all [][][]*item) {
	type place struct{ source, group int }
	groups := map[string]place{}
	sources := map[string]int{}
	for _, i := range items {
		at, known := sources[i.source]
		if !known {
			at = len(all)
			sources[i.source] = at
			all = append(all, nil)
		}
		if key := i.order(); key != "" {
			if p, known := groups[key]; known {
				all[p.source][p.group] = append(all[p.source][p.group], i)
				continue
			}
			groups[key] = place{at, len(all[at])}
		}
		all[at] = append(all[at], []*item{i})
	}
	slices.SortStableFunc(all, func(a, b [][]*item) int { return len(a) - len(b) })
	return all
}

// groupRun is a group that is published.
type groupRun struct {
	items    []*item
	slots    chan struct{}
	after    chan struct{} // what it waits for; nil for nothing
	first    func()        // told when the first row is done; nil for nobody
	watch    *watch
	stopping context.Context
}

// publishGroup publishes rows one after the other, until one has to wait.
func (r *Relay) publishGroup(ctx context.Context, g *groupRun) {
	defer func() { // a panic leaves the rows where they are
		if p := recover(); p != nil {
			r.stop(fmt.Errorf("sqloutbox: publishing panicked (%T)", p))
		}
	}()
	if g.first != nil {
		defer g.first()
	}
	if g.after != nil {
		<-g.after
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return
	}
	for _, i := range g.items {
		if ctx.Err() != nil || g.stopping.Err() != nil || r.isRefused(i.source) || r.paused() > 0 {
			return
		}
		if i.outcome != failed {
			g.watch.begin(i)
			r.publishOne(ctx, g.watch, i)
			g.watch.end(i)
		}
		if i.outcome != stored && (i.outcome != failed || r.config.HoldAfterFailed && i.token != "") {
			return
		}
		if g.first != nil {
			g.first()
		}
	}
}

// publishOne publishes a row and decides what becomes of it.
func (r *Relay) publishOne(ctx context.Context, w *watch, i *item) {
	if r.restarted(i) {
		i.outcome = unsure
		return
	}
	m, err := r.message(ctx, i)
	if err == nil {
		r.mark(&m, i)
		_, err = r.pub.Publish(ctx, m)
	} else if !isFinal(err) {
		if !errors.Is(err, sql.ErrNoRows) { // somebody else was faster, or has deleted it
			r.stop(err)
		}
		i.outcome = free
		return
	}
	switch i.outcome = free; {
	case err == nil:
		i.outcome = stored
		r.confirmed(i.source)
		return
	case isFinal(err):
		i.outcome, i.reason = failed, safeReason(err)
		return
	case publish.MayBeStored(err):
		// The batch may have ended before the publisher looked for the reason.
		if subject := i.subject(r.box.config.Prefix); w.refused() && jsapi.Refused(w.conn, subject) {
			err = fmt.Errorf("%w: allow this user to publish to %s", outbox.ErrPermission, r.box.config.Prefix.SendSubject(i.source))
			break
		}
		i.outcome = unsure
	}
	switch cause := context.Cause(ctx); {
	case errors.Is(err, outbox.ErrPermission), errors.Is(err, outbox.ErrShareFull):
		r.refuse(i.source, err)
	case errors.Is(err, outbox.ErrQueueFull), errors.Is(err, outbox.ErrNoStream):
		if i.bytes > w.conn.MaxPayload() { // it may be the object store that has no room
			r.refuse(i.source, err)
			return
		}
		r.stop(err)
	case isOfSource(cause):
		r.refuse(i.source, cause)
	case cause != nil || !w.conn.IsConnected(): // it is nobody's, or everybody's
	case errors.Is(err, context.DeadlineExceeded):
		r.stop(err)
	default:
		r.refuse(i.source, err)
	}
}

// isOfSource reports whether a batch ended for a reason for which the sources that were under way
// wait, and nobody else.
func isOfSource(cause error) bool {
	return errors.Is(cause, errSlow) || errors.Is(cause, errLarge) || errors.Is(cause, errUnheard)
}

// restarted reports whether the server of NATS that knows an earlier try of a row is gone since
// that was looked at. The row is left to the next batch.
func (r *Relay) restarted(i *item) bool {
	return i.server != "" && r.js.Conn().ConnectedServerId() != i.server
}

// isFinal reports whether no later try can end otherwise.
func isFinal(err error) bool {
	return errors.As(err, new(*outbox.ContractError)) || errors.As(err, new(*outbox.SizeError)) || errors.As(err, new(publish.Unfit))
}

// safeReason is what is kept of an error beside a row: it holds nothing of the message.
func safeReason(err error) string {
	if errors.As(err, new(publish.Unfit)) { // what it says may be of the message
		return "sqloutbox: the Lint of the relay's publisher refuses it"
	}
	return fmt.Sprintf("%.480s", err.Error())
}

// message reads the message of a row, also from the table where it is large.
func (r *Relay) message(ctx context.Context, i *item) (outbox.Message, error) {
	if i.message == nil {
		err := r.db.QueryRowContext(ctx, r.box.sql("SELECT message FROM redox_outbox WHERE seq = ?"), i.seq).Scan(&i.message)
		if err != nil {
			return outbox.Message{}, fmt.Errorf("sqloutbox: read a message of %d bytes: %w", i.bytes, err)
		}
		defer func() { i.message = nil }()
	}
	return i.unpack(r.box.config.Prefix)
}

// mark says of a message that Redox may get it twice, and counts it. One whose application says so stays marked.
func (r *Relay) mark(m *outbox.Message, i *item) {
	if !i.late {
		return
	}
	m.PossibleDuplicate = true
	r.mu.Lock()
	r.stats.Repeated++
	r.mu.Unlock()
	r.log.Warn("outbox: published again although the queue may have it and have forgotten its id", "message", i.id, "source", i.source)
}
