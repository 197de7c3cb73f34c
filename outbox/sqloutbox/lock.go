package sqloutbox

import (
	"context"
	"slices"
	"strconv"
	"strings"
)

const (
	// mostKeys is how many locks of order keys a call takes on PostgreSQL, whose table of locks
	// has room for some thousands of all transactions together.
	mostKeys = 1000
	// laneStripes is how many rows the order keys of a lane share on MySQL.
	laneStripes = 64
	// hexLanes is how many lanes there are where there is more than one: one for each first
	// digit of a token.
	hexLanes = 16
)

// lock takes the locks of all order keys in rows, in an order that is the same for all callers.
//
// With them, the order of seq within a token is that of the commits, whatever the isolation
// level: a number is drawn only by who has the lock, and the lock ends with the transaction.
// Each lane has a lock, too, which is shared: while nobody has it, no transaction can commit a
// row below those that are there; see [Relay.quiet].
func (o *Outbox) lock(ctx context.Context, tx Execer, rows []row) error {
	var lanes, keys []string
	for _, r := range rows {
		if r.token != "" {
			lanes, keys = append(lanes, o.laneKey(r.token[:1])), append(keys, o.table+" "+r.source+" "+r.token)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	switch o.dialect {
	case Postgres:
		return o.lockPostgres(ctx, tx, sorted(lanes), sorted(keys))
	case MySQL:
		return o.lockStripes(ctx, tx, rows)
	}
	return nil // SQLite has one writer at a time
}

// laneKey names the lock of a lane, given the first digit of its tokens.
func (o *Outbox) laneKey(digit string) string { return o.table + " lane " + digit }

func sorted[T string | int](keys []T) []T {
	slices.Sort(keys)
	return slices.Compact(keys)
}

const lockWhat = "lock the order key"

func (o *Outbox) lockPostgres(ctx context.Context, tx Execer, lanes, keys []string) error {
	take := func(lock string) string {
		return "(SELECT count(" + lock + "(hashtextextended(k, 0))) FROM unnest(string_to_array(?, chr(10))) AS k)"
	}
	shared, alone := take("pg_advisory_xact_lock_shared"), take("pg_advisory_xact_lock")
	lane, key := strings.Join(lanes, "\n"), strings.Join(keys, "\n")
	switch {
	case o.config.NoKeyLock:
		return o.exec(ctx, tx, lockWhat, "SELECT "+shared, lane)
	case len(keys) > mostKeys: // nobody else has an order key of these lanes
		return o.exec(ctx, tx, lockWhat, "SELECT "+alone, lane)
	}
	return o.exec(ctx, tx, lockWhat, "SELECT "+shared+", "+alone, lane, key)
}

func (o *Outbox) lockStripes(ctx context.Context, tx Execer, rows []row) error {
	var stripes []int
	for _, r := range rows {
		if r.token != "" {
			n, _ := strconv.ParseUint(r.token[:4], 16, 16) // a token is hex
			stripes = append(stripes, int(n)/(1<<16/(hexLanes*laneStripes)))
		}
	}
	in, how := padded(sorted(stripes)), "FOR UPDATE"
	if o.config.NoKeyLock {
		how = "LOCK IN SHARE MODE"
	}
	return o.exec(ctx, tx, lockWhat, "SELECT n FROM redox_outbox_stripe FORCE INDEX (PRIMARY) WHERE n IN ("+places(len(in))+") ORDER BY n "+how, in...)
}
