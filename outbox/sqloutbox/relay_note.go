package sqloutbox

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// sureFor is how old the first try of a row may be, in seconds, for the queue to know its id
// still: the queue keeps ids for ten minutes.
const sureFor = 8 * 60

// try is the first try of a row whose end is not known.
type try struct {
	at    float64 // by the clock of the database, in seconds
	epoch string  // of NATS: it changes where ids may be forgotten
}

// tries are those of a lane, by seq.
type tries map[int64]try

// tried is how tries are written: those of the same time together.
type tried struct {
	At    float64 `json:"at"`
	Epoch string  `json:"epoch"`
	Seqs  []int64 `json:"seqs"`
}

func (t tries) text() string {
	together := map[try][]int64{}
	for seq, one := range t {
		together[one] = append(together[one], seq)
	}
	all := make([]tried, 0, len(together))
	for one, seqs := range together {
		slices.Sort(seqs)
		all = append(all, tried{At: one.at, Epoch: one.epoch, Seqs: seqs})
	}
	slices.SortFunc(all, func(a, b tried) int { return int(a.Seqs[0] - b.Seqs[0]) })
	text, _ := json.Marshal(all) // of numbers and a text
	return string(text)
}

// add takes what is written; of two tries of a row the first counts.
func (t tries) add(text string) error {
	var all []tried
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return fmt.Errorf("sqloutbox: what another relay noted of its tries is no JSON: %w", err)
	}
	for _, one := range all {
		for _, seq := range one.Seqs {
			t.note(seq, try{one.At, one.Epoch})
		}
	}
	return nil
}

func (t tries) note(seq int64, one try) {
	if before, there := t[seq]; !there || one.at < before.at {
		t[seq] = one
	}
}

// late reports whether the queue may have forgotten a try.
func (t try) late(now float64, epoch string) bool {
	return now-t.at > sureFor || t.at-now > sureFor || t.epoch != epoch
}

// noted is what is written down of the tries of a lane.
type noted struct {
	tries  tries
	probes tries // of rows that some relay tries outside of the lane; it takes them back by itself
	last   int64 // number of the last note of the lane
	took   bool  // another relay had the lane, or a batch of this one came to no end
}

// readTries reads what is noted of a lane, from the last note on that this relay knows. Of what
// this relay wrote last it knows what became.
func (r *Relay) readTries(ctx context.Context, q querier, l *lane) (noted, error) {
	r.mu.Lock()
	note := l.note
	r.mu.Unlock()
	n := noted{tries: tries{}, probes: tries{}, last: note}
	rows, err := q.QueryContext(ctx, r.box.sql("SELECT source, n, owner, tries FROM redox_outbox_try WHERE lane = ? AND source = '' AND n >= ? UNION ALL "+
		"SELECT source, n, owner, tries FROM redox_outbox_try WHERE lane = ? AND source > ''"), l.number, note, l.number)
	if err != nil {
		return n, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var source, owner, text string
		var number int64
		if err := rows.Scan(&source, &number, &owner, &text); err != nil {
			return n, err
		}
		switch {
		case source != "":
			err = n.probes.add(text)
		case owner == r.owner && number == note:
			r.mu.Lock()
			for seq, one := range l.tries {
				n.tries.note(seq, one)
			}
			r.mu.Unlock()
		default:
			n.took, err = true, n.tries.add(text)
		}
		if err != nil {
			return n, err
		}
		n.last = max(n.last, number)
	}
	if err := rows.Err(); err != nil || !n.took {
		return n, err
	}
	return n, r.forget(ctx, q, n.tries)
}

// forget drops the tries of rows that are gone.
func (r *Relay) forget(ctx context.Context, q querier, all tries) error {
	if len(all) == 0 {
		return nil
	}
	args := padded(slices.Collect(maps.Keys(all)))
	rows, err := q.QueryContext(ctx, r.box.sql("SELECT seq FROM redox_outbox WHERE seq IN ("+places(len(args))+")"), args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	there := map[int64]bool{}
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return err
		}
		there[seq] = true
	}
	maps.DeleteFunc(all, func(seq int64, _ try) bool { return !there[seq] })
	return rows.Err()
}

// writeTries notes what is about to be published: as note n of a lane, or as that of a probe of
// source, of which there is one.
func (r *Relay) writeTries(ctx context.Context, x Execer, lane int, source string, n int64, t tries) error {
	text := "INSERT INTO redox_outbox_try (lane, source, n, owner, at, tries) VALUES (?, ?, ?, ?, " + r.box.dialect.now() + ", ?) "
	if r.box.dialect == MySQL {
		text += "ON DUPLICATE KEY UPDATE owner = VALUES(owner), at = VALUES(at), tries = VALUES(tries)"
	} else {
		text += "ON CONFLICT (lane, source, n) DO UPDATE SET owner = excluded.owner, at = excluded.at, tries = excluded.tries"
	}
	if _, err := x.ExecContext(ctx, r.box.sql(text), lane, source, n, r.owner, t.text()); err != nil {
		return fmt.Errorf("sqloutbox: note what is about to be published: %w", err)
	}
	return nil
}

// amendNotes deletes the notes of a lane before that of the batch, which has what is left of them,
// and takes from that one the rows that were not published: whoever reads it would take them for
// tried.
func (r *Relay) amendNotes(ctx context.Context, x Execer, b *batch) error {
	amend := false
	for _, i := range b.items {
		first := b.noted.tries[i.seq] == try{b.now, b.epoch} // no try before this one
		if i.outcome == stored || i.outcome == failed || first && i.outcome != unsure {
			delete(b.noted.tries, i.seq)
			amend = amend || i.outcome == free || i.outcome == left
		}
	}
	if amend {
		if err := r.writeTries(ctx, x, b.number, "", b.note, b.noted.tries); err != nil {
			return err
		}
	}
	_, err := x.ExecContext(ctx, r.box.sql("DELETE FROM redox_outbox_try WHERE lane = ? AND source = '' AND n >= ? AND n < ?"), b.number, b.lane.note, b.note)
	return err
}

// epochs remembers what a server said of itself.
type epochs struct {
	server string
	epoch  string
}

// epoch names the time in which NATS surely remembers ids: of a single server until it is
// restarted. Of a cluster that keeps the queue more than once it does not end; that all of its
// servers were down at once cannot be seen.
func (r *Relay) epoch(ctx context.Context) string {
	conn := r.js.Conn()
	server, cluster := conn.ConnectedServerId(), conn.ConnectedClusterName()
	r.mu.Lock()
	known := r.epochs
	r.mu.Unlock()
	if known.server == server {
		return known.epoch
	}
	epoch := server
	if cluster != "" {
		ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
		defer cancel()
		// Whoever may not look at the stream takes it for one that is kept more than once.
		epoch = "cluster " + cluster
		name := r.box.config.Prefix.OutStream()
		jsapi.UntilRefused(ctx, r.js.Conn(), jsapi.APIPrefix(r.js)+"STREAM.INFO."+name, func(ctx context.Context) {
			if s, err := r.js.Stream(ctx, name); err == nil && s.CachedInfo().Config.Replicas == 1 {
				epoch = server
			}
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.epochs = epochs{server, epoch}
	return epoch
}

// statementTime bounds a statement of a relay.
const statementTime = 30 * time.Second
