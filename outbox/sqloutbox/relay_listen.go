package sqloutbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Listener waits until the database tells of new rows on a channel, and calls kick each time and
// once at the beginning, until ctx ends or the connection fails. It is called by one goroutine at
// a time, and calls kick, which never blocks, from that one.
type Listener func(ctx context.Context, db *sql.DB, channel string, kick func()) error

// listen hears of new rows until ctx ends. While it cannot, the relay polls.
func (r *Relay) listen(ctx context.Context) {
	if r.config.Listen == nil {
		return
	}
	failing := false
	for length := time.Duration(0); ; {
		began := time.Now()
		err := r.hear(ctx, func() {
			if failing {
				failing = false
				r.log.Info("outbox: listening to the database again")
			}
			r.box.Kick()
		})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastWait { // it had listened
			length = 0
		}
		if !failing {
			r.log.Warn("outbox: the database tells nothing of new rows; polling, and trying to listen again", "error", err)
		}
		length, failing = next(length), true
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(until(length))):
		}
	}
}

// hear calls the Listener, whose panic is an error.
func (r *Relay) hear(ctx context.Context, kick func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sqloutbox: Listen panicked (%T); what it panicked with may hold anything and is not shown", p)
		}
	}()
	return r.config.Listen(ctx, r.db, r.box.Channel(), kick)
}
