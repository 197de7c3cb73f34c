package sqloutbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	// smallMessage is what is read together with its row; larger messages are read one by one.
	smallMessage = 64 << 10
	// batchBytes of messages are in a batch at most, or one that is larger: all may be in memory at once.
	batchBytes = 64 << 20
	// idleTime is how long a relay may own a lane without a word to PostgreSQL, which then takes it
	// away; longer than it publishes a batch.
	idleTime = 2 * publishTime
	// leaseTime is how long a relay owns the table on SQLite, in seconds, which has no locks of rows.
	leaseTime = 3
)

// lane is what a relay knows of a lane.
type lane struct {
	number     int
	floor      int64     // all rows below are done, or wait
	raised     time.Time // when it was last tried to raise it
	high       int64     // above all rows that were seen
	lowered    int64     // where the floor was moved to since the last view
	generation int64
	sweepAt    time.Time // not before that it is swept
	late       int64     // a row below the floor that was found then, 0 for none
	begun      int64     // first row of the batch that is under way, 0 for none
	note       int64     // number of the last note of this relay
	tries      tries     // of rows that are left, as they are noted by it
}

// batch is what a relay has of a lane while it owns it.
type batch struct {
	*lane
	tx      *sql.Tx  // nil on SQLite
	from    int64    // where the scan began
	seen    int64    // generation of the lane
	without []string // sources that are left out
	full    bool     // there may be more
	raise   int64    // up to where the floor may be raised
	last    int64    // up to which all rows are among the items, but for those that are left out
	now     float64  // by the clock of the database
	epoch   string
	server  string // of NATS
	items   []*item
	noted   noted // with its own tries from judge on
	note    int64 // number of its note
}

// busy are the lanes that have rows, in an order that begins anywhere.
func (r *Relay) busy(ctx context.Context) ([]*lane, error) {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	if len(r.lanes) == 0 {
		if err := r.readLanes(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.sweep(ctx); err != nil {
		return nil, err
	}
	var parts []string
	var all []any
	// Each part has the sources, and a statement at most 65,535 placeholders: with very many that
	// wait, lanes that have rows of others may be among those that are found.
	const most = 512
	for number := range len(r.lanes) {
		from, without := r.view(r.lanes[number])
		but, args := r.but(without[:min(len(without), most)])
		parts = append(parts, fmt.Sprintf("SELECT %d AS lane, (SELECT seq FROM redox_outbox WHERE lane = %d AND seq >= ?%s ORDER BY seq LIMIT 1) AS first",
			number, number, but))
		all = append(append(all, from), args...)
	}
	rows, err := r.db.QueryContext(ctx, r.box.sql(strings.Join(parts, " UNION ALL ")), all...)
	if err != nil {
		return nil, fmt.Errorf("sqloutbox: look for rows: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var found []*lane
	for rows.Next() {
		var number int
		var first sql.NullInt64
		if err := rows.Scan(&number, &first); err != nil {
			return nil, err
		}
		if r.saw(r.lanes[number], first); first.Valid {
			found = append(found, r.lanes[number])
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sqloutbox: look for rows: %w", err)
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found, nil
}

// saw notes the first row of a lane, or that there is none.
func (r *Relay) saw(l *lane, first sql.NullInt64) {
	if !first.Valid {
		l.late = 0 // another relay has published it
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	l.high = max(l.high, first.Int64+1)
}

// readLanes learns how many lanes there are.
func (r *Relay) readLanes(ctx context.Context) error {
	var n int
	if err := r.db.QueryRowContext(ctx, r.box.sql("SELECT count(*) FROM redox_outbox_lane")).Scan(&n); err != nil {
		return fmt.Errorf("sqloutbox: the tables of %s are missing or cannot be read; run `redoxworker outbox migrate`: %w", r.box.table, err)
	}
	if n == 0 {
		return fmt.Errorf("sqloutbox: the table %s_lane is empty: make the tables anew with `redoxworker outbox migrate`", r.box.table)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for number := range n {
		r.lanes[number] = &lane{number: number, tries: tries{}}
	}
	return nil
}

// view is where a lane is read from, and which sources are left out: both belong together, since
// the end of a wait moves the floor.
func (r *Relay) view(l *lane) (from int64, without []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for source := range r.waiting {
		without = append(without, source)
	}
	l.lowered = math.MaxInt64
	if l.late > 0 {
		return min(l.floor, l.late), without
	}
	return l.floor, without
}

// but leaves out the rows of sources, and those that a failed row holds back. Rows of sources
// beyond a bound are not left out: they are skipped when it is their turn.
func (r *Relay) but(sources []string) (text string, args []any) {
	const most = 8192
	if sources = sources[:min(len(sources), most)]; len(sources) > 0 {
		args = padded(sources)
		text = " AND source NOT IN (" + places(len(args)) + ")"
	}
	if r.config.HoldAfterFailed {
		text += " AND NOT EXISTS (SELECT 1 FROM redox_outbox_failed f WHERE redox_outbox.token <> '' AND f.source = redox_outbox.source AND f.token = redox_outbox.token)"
	}
	return text, args
}

// round publishes a batch of a lane, unless another relay has it, and counts the rows that are done.
func (r *Relay) round(ctx context.Context, l *lane) (int, error) {
	began := time.Now()
	bound, cancel := outlive(ctx) // what is confirmed is to be deleted
	defer cancel()
	b, err := r.claim(bound, l)
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: read lane %d: %w", l.number, err)
	}
	if b == nil {
		return 0, nil
	}
	defer b.rollback()
	r.publishAll(ctx, b)
	done, err := r.settle(bound, b)
	if err != nil {
		return 0, fmt.Errorf("sqloutbox: delete what is published of lane %d: %w", l.number, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Rounds++
	r.stats.RoundSeconds += time.Since(began).Seconds()
	return done, nil
}

// outlive is a context with a time of its own, of which little is left once ctx has ended.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*statementTime)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-bound.Done():
		case <-time.After(stopTime):
			cancel()
		}
	})
	return bound, func() { stop(); cancel() }
}

func (b *batch) rollback() {
	if b.tx != nil {
		_ = b.tx.Rollback() // after a commit it does nothing
	}
}

// claim takes a lane, reads its first rows and notes that they are about to be published. It
// answers nil when another relay has the lane, or when there is nothing in it.
func (r *Relay) claim(ctx context.Context, l *lane) (_ *batch, err error) {
	b := &batch{lane: l}
	b.from, b.without = r.view(l)
	if b.raise, err = r.raisable(ctx, l); err != nil {
		return nil, err
	}
	if b.tx, err = r.db.BeginTx(ctx, r.box.dialect.locking()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil || len(b.items) == 0 {
			b.rollback()
		}
	}()
	if owned, err := r.own(ctx, b); err != nil || !owned {
		return nil, err
	}
	// A statement of its own: it must not see what was there before the lock.
	if err := r.read(ctx, b); err != nil {
		return nil, err
	}
	if len(b.items) == 0 {
		r.ended(b)
		return nil, nil
	}
	r.begin(b)
	b.server = r.js.Conn().ConnectedServerId()
	b.epoch = r.epoch(ctx)
	r.judge(b)
	b.note = b.noted.last + 1
	if r.box.dialect != SQLite {
		return b, r.writeTries(ctx, r.db, l.number, "", b.note, b.noted.tries)
	}
	if err := r.writeTries(ctx, b.tx, l.number, "", b.note, b.noted.tries); err != nil {
		return nil, err
	}
	if err := b.tx.Commit(); err != nil {
		return nil, err
	}
	b.tx = nil
	return b, nil
}

// begin notes where a batch begins: a source that comes to wait meanwhile does so from there.
func (r *Relay) begin(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.begun = b.items[0].seq
}

// ended notes that what is below the floor was read, and that it is done or the floor below it; a source
// that was left out may have a row there by now. Of a batch that came to no end it is read again.
func (r *Relay) ended(b *batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.late, b.begun = 0, 0
	if b.generation == b.seen {
		return
	}
	for _, source := range b.without {
		w := r.waiting[source]
		if w == nil {
			return // its rows have not been read
		}
		w.from[b.lane] = 0
	}
	b.generation = b.seen
}

// own locks the lane, or takes its lease, and reads what others left there.
func (r *Relay) own(ctx context.Context, b *batch) (bool, error) {
	now := r.box.dialect.now()
	what, args := "generation, "+now+", "+r.box.dialect.server(), []any{b.number}
	if r.box.dialect == Postgres { // of a host that is gone the server hears nothing for hours
		what += fmt.Sprintf(", CASE current_setting('idle_in_transaction_session_timeout') WHEN '0' THEN set_config('idle_in_transaction_session_timeout', '%d', true) END",
			idleTime.Milliseconds())
	} else {
		what += ", NULL"
	}
	text := "SELECT " + what + " FROM redox_outbox_lane WHERE lane = ? FOR UPDATE SKIP LOCKED"
	if r.box.dialect == SQLite {
		text, args = fmt.Sprintf("UPDATE redox_outbox_lane SET owner = ?, until = %s + %d WHERE lane = ? AND (owner = ? OR until < %s OR until > %s + 60) RETURNING %s",
			now, leaseTime, now, now, what), []any{r.owner, b.number, r.owner}
	}
	var server string
	var idle sql.NullString
	err := b.tx.QueryRowContext(ctx, r.box.sql(text), args...).Scan(&b.seen, &b.now, &server, &idle)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if r.otherDatabase(server) {
		b.from, b.raise = 0, 0
	}
	if b.noted, err = r.readTries(ctx, b.tx, b.lane); err != nil {
		return false, err
	}
	if b.noted.took { // also rows below the floor, of a batch that came to no end
		for seq := range b.noted.tries {
			b.from = min(b.from, seq)
		}
	}
	if b.seen != b.generation {
		b.from = 0
	}
	return true, nil
}

// read reads the first rows of the lane. Where one source has most of them it also reads the
// first of the others, so that they do not wait for all of it.
func (r *Relay) read(ctx context.Context, b *batch) error {
	items, more, err := r.scan(ctx, b.tx, b, b.without)
	if err != nil || len(items) == 0 {
		return err
	}
	b.items, b.full, b.last = items, more, items[len(items)-1].seq
	if b.full {
		others, _, err := r.scan(ctx, b.tx, b, append(b.without, heavy(items)...))
		if err != nil {
			return err
		}
		b.items = merge(items, others)
	}
	return nil
}

// heavy are the sources that each have more than an eighth of the items.
func heavy(items []*item) (sources []string) {
	count := map[string]int{}
	for _, i := range items {
		if count[i.source]++; count[i.source] == len(items)/8+1 {
			sources = append(sources, i.source)
		}
	}
	return sources
}

// merge joins two lists, each a beginning of the rows of its sources: so is what comes out.
func merge(a, b []*item) []*item {
	for _, i := range b {
		if !slices.ContainsFunc(a, func(other *item) bool { return other.seq == i.seq }) {
			a = append(a, i)
		}
	}
	slices.SortFunc(a, func(a, b *item) int { return int(a.seq - b.seq) })
	return a
}

// columns of a row, as scanned by item.
func (r *Relay) columns() string {
	size := r.box.dialect.bytes("message")
	return fmt.Sprintf("seq, id, source, token, request, sealed, lane, %s, CASE WHEN %s <= %d THEN message END", size, size, smallMessage)
}

// scan reads the first rows of the lane that are not of some sources, and whether there may be more.
func (r *Relay) scan(ctx context.Context, q querier, b *batch, without []string) (items []*item, more bool, err error) {
	but, args := r.but(without)
	rows, err := q.QueryContext(ctx, r.box.sql("SELECT "+r.columns()+" FROM redox_outbox WHERE lane = ? AND seq >= ?"+but+" ORDER BY seq LIMIT ?"),
		append(append([]any{b.number, b.from}, args...), r.config.Batch)...)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = rows.Close() }()
	for bytes := int64(0); rows.Next(); {
		i := new(item)
		if err := i.scan(rows); err != nil {
			return nil, false, err
		}
		if bytes += i.bytes; bytes > batchBytes && len(items) > 0 {
			return items, true, nil
		}
		items = append(items, i)
	}
	return items, len(items) == r.config.Batch, rows.Err()
}
