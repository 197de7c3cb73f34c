package sqloutbox

import (
	"context"
	"maps"
	"time"
)

// Stats is what a relay did since it was made, and what it knows of the table.
type Stats struct {
	// Relayed counts the messages that NATS confirmed, by source.
	Relayed map[string]uint64
	// Repeated counts those that were published again although the queue may have forgotten them.
	Repeated uint64
	// Failed counts the rows that this relay moved to the failed ones.
	Failed uint64
	// Rounds counts the batches, RoundSeconds is the time that they took.
	Rounds       uint64
	RoundSeconds float64
	// Rows and Lag (of the oldest row) are those of the table, failed rows not counted, as of the last
	// count; every 30 s.
	Rows int64
	Lag  time.Duration
	// FailedRows are in the table of failed rows.
	FailedRows int64
	// Waiting are the sources whose rows wait because NATS refuses them, and why.
	Waiting map[string]string
	// Trouble is why nothing is relayed; empty while all goes well.
	Trouble string
}

// Stats returns what the relay did. It asks nobody.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Relayed = maps.Clone(s.Relayed)
	s.Waiting = make(map[string]string, len(r.waiting))
	for source, w := range r.waiting {
		s.Waiting[source] = w.reason
	}
	return s
}

// countAll counts the rows now and then.
func (r *Relay) countAll(ctx context.Context) {
	tick := time.NewTicker(recount)
	defer tick.Stop()
	for {
		_ = r.count(ctx) // what is wrong with the database the rounds say
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *Relay) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementTime)
	defer cancel()
	rows, oldest, err := r.box.countRows(ctx, r.db)
	if err != nil {
		return err
	}
	var failed int64
	if err := r.db.QueryRowContext(ctx, r.box.sql("SELECT count(*) FROM redox_outbox_failed")).Scan(&failed); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Rows, r.stats.FailedRows, r.stats.Lag = rows, failed, time.Duration(oldest*float64(time.Second))
	return nil
}

// countRows counts the rows and answers the age of the oldest, in seconds.
func (o *Outbox) countRows(ctx context.Context, q querier) (rows int64, oldest float64, err error) {
	text := "SELECT count(*), COALESCE(" + o.dialect.now() + " - " + o.dialect.seconds("min(created)") + ", 0e0) FROM redox_outbox"
	err = q.QueryRowContext(ctx, o.sql(text)).Scan(&rows, &oldest)
	return rows, max(oldest, 0), err
}
