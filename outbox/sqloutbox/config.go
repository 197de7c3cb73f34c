package sqloutbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

const defaultMaxBody = 10 << 20

// Execer is a transaction: *sql.Tx, a *sql.Conn on which the caller has begun one, or a pgx.Tx
// through package pgxtx. Enqueue runs statements on it, some of which return rows; they may be
// dropped.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Config is what an Outbox may be told. The zero value works for messages without an order key.
type Config struct {
	// Prefix of the subjects of the queue. Empty means redox.
	Prefix contract.Prefix
	// Table is the name of the table; those of the other tables begin with it. At most 40 of
	// a-z, 0-9 and _, beginning with a letter. Empty means redox_outbox.
	Table string
	// OrderSecret turns order keys into tokens, at least 16 bytes; see [outbox.OrderToken]. Empty
	// refuses messages with an order key. The Publisher of the relay needs the same.
	OrderSecret []byte
	// MaxBody refuses larger bodies, in bytes: the redox.max_body of the workers. 0 means 10 MB,
	// -1 no bound. MySQL takes no row over its max_allowed_packet.
	MaxBody int64
	// Ring seals rows before they are written: a relay publishes them as they are, and needs no ring. nil
	// seals nothing.
	Ring *seal.Ring
	// RequireSeal refuses what is not sealed where there is no Ring.
	RequireSeal bool
	// NoKeyLock leaves out the lock of the order key. It is for applications in which every
	// transaction locks the patient's own row before it calls Enqueue: that row then decides the
	// order. Otherwise the messages of a patient may be published in another order than that of
	// the commits.
	NoKeyLock bool
	// Trace returns the W3C trace context of a message that brings none, from the context of
	// Enqueue; oteltrace.FromContext does so for OpenTelemetry. It must be safe for concurrent
	// use. nil means that a message goes with no trace.
	Trace func(ctx context.Context) (traceparent, tracestate string)
	// Notify has PostgreSQL tell listeners of each transaction, on a channel that is called like
	// the table; see RelayConfig.Listen. PostgreSQL has one lock for all who notify: it bounds the
	// commits of the whole database server to some hundred a second. Off, relays poll.
	Notify bool
}

// WithDefaults returns a copy in which every zero field has its default.
func (c Config) WithDefaults() Config {
	c.Table = cmp.Or(c.Table, defaultTable)
	c.MaxBody = cmp.Or(c.MaxBody, defaultMaxBody)
	return c
}

var tableNames = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// Validate reports every field that cannot work.
func (c Config) Validate() error {
	errs := []error{c.Prefix.Validate()}
	if c.Table != "" && !tableNames.MatchString(c.Table) {
		errs = append(errs, fmt.Errorf("sqloutbox: Table %.60q: use 1 to 40 of a-z, 0-9 and _, a letter first", c.Table))
	}
	if c.MaxBody < -1 {
		errs = append(errs, fmt.Errorf("sqloutbox: MaxBody %d: use more than 0, 0 for the default or -1 for no bound", c.MaxBody))
	}
	if len(c.OrderSecret) > 0 {
		_, err := outbox.OrderToken(c.OrderSecret, "any")
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
