package sqloutbox

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

const (
	defaultBatch       = 256
	mostBatch          = 4096
	defaultConcurrency = 64
	defaultPoll        = time.Second
	// stopTime is how long what is under way may take once the relay is told to stop.
	stopTime = 5 * time.Second
	// quickPoll is how often the table is looked at while it has rows, and for quickFor after.
	quickPoll = 20 * time.Millisecond
	quickFor  = time.Second
	// recount is how often the rows are counted.
	recount = 30 * time.Second
)

// Late says what becomes of a message that may be in the queue already, whose id the queue may
// have forgotten.
type Late string

// Values of RelayConfig.OnLate.
const (
	// LateResend publishes it again, with the header Redox-Possible-Duplicate.
	LateResend Late = "resend"
	// LateHold moves it to the failed rows: a person decides.
	LateHold Late = "hold"
)

// RelayConfig is what a Relay may be told. The zero value works.
type RelayConfig struct {
	// Batch is how many rows of a lane are published under one lock. 0 means 256, at most 4096.
	Batch int
	// Concurrency is how many messages are published at once; those of one order key go one
	// after the other. 0 means 64.
	Concurrency int
	// Poll is the longest wait between two looks at an idle table. While there are rows, and for
	// a second after, the wait is 20 ms; from there it doubles. 0 means 1 s, at least 20 ms.
	Poll time.Duration
	// OnLate is about a row whose first try has no known end and either is older than eight
	// minutes or was made before the restart of a single NATS server. Empty means LateResend.
	OnLate Late
	// HoldAfterFailed keeps the later messages of an order key back while a row of that order
	// key is among the failed ones.
	HoldAfterFailed bool
	// Listen hears of rows that other processes commit with Config.Notify; pgxtx.ListenDB is one
	// for PostgreSQL. It has one more connection of the database for as long as Run runs, and is
	// called again when it ends. The relay polls besides, as Poll says. nil means that it only polls.
	Listen Listener
	// Logger; nil discards. No body, header or order key is logged.
	Logger *slog.Logger
}

// WithDefaults returns a copy in which every zero field has its default.
func (c RelayConfig) WithDefaults() RelayConfig {
	c.Batch = cmp.Or(c.Batch, defaultBatch)
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Poll = cmp.Or(c.Poll, defaultPoll)
	c.OnLate = cmp.Or(c.OnLate, LateResend)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate reports every field that cannot work.
func (c RelayConfig) Validate() error {
	var errs []error
	if c.Batch < 0 || c.Batch > mostBatch {
		errs = append(errs, fmt.Errorf("sqloutbox: Batch %d: use 1 to %d, or 0 for the default", c.Batch, mostBatch))
	}
	if c.Concurrency < 0 {
		errs = append(errs, fmt.Errorf("sqloutbox: Concurrency %d: use 1 or more, or 0 for the default", c.Concurrency))
	}
	if c.Poll != 0 && c.Poll < quickPoll {
		errs = append(errs, fmt.Errorf("sqloutbox: Poll %v: use %v or more, or 0 for the default", c.Poll, quickPoll))
	}
	if c.OnLate != "" && c.OnLate != LateResend && c.OnLate != LateHold {
		errs = append(errs, fmt.Errorf("sqloutbox: OnLate %.20q: use %s or %s", string(c.OnLate), LateResend, LateHold))
	}
	return errors.Join(errs...)
}

// fits reports what cannot work with an outbox and its database.
func (c RelayConfig) fits(o *Outbox, db *sql.DB) error {
	needed := 2
	if c.Listen != nil {
		needed = 3
		if !o.config.Notify {
			return errors.New("sqloutbox: NewRelay: Listen would hear nothing, since the outbox has no Notify: set it here and where Enqueue is called")
		}
	}
	if n := db.Stats().MaxOpenConnections; n > 0 && n < needed && o.dialect != SQLite {
		return fmt.Errorf("sqloutbox: NewRelay: the database allows too few connections (SetMaxOpenConns %d): this relay needs %d", n, needed)
	}
	return nil
}

// Relay publishes the rows of an outbox and deletes them when NATS has confirmed them. Any
// number of relays, in any number of processes, share a table. Make one with [NewRelay].
type Relay struct {
	box    *Outbox
	db     *sql.DB
	pub    *outbox.Publisher
	js     jetstream.JetStream
	config RelayConfig
	log    *slog.Logger
	owner  string

	mu       sync.Mutex
	database string // of which the lanes are known; see otherDatabase
	lanes    map[int]*lane
	waiting  map[string]*wait // sources that are refused
	proved   map[string]time.Time
	pause    pause
	epochs   epochs
	stats    Stats
}

// NewRelay returns a relay. The publisher should have ClaimCheck, or messages over NATS's limit
// become failed rows, and the order secret of the outbox. db has to allow two connections at
// once, and one more with Listen, but for SQLite. NewRelay makes no request.
func NewRelay(o *Outbox, db *sql.DB, p *outbox.Publisher, cfg RelayConfig) (*Relay, error) {
	if o == nil || db == nil || p == nil {
		return nil, errors.New("sqloutbox: NewRelay needs an outbox, a database and a publisher")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := cfg.fits(o, db); err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	cfg = cfg.WithDefaults()
	return &Relay{
		box: o, db: db, pub: p, js: p.JetStream(), config: cfg, log: cfg.Logger,
		owner: fmt.Sprintf("%.60s-%d-%.8s", host, os.Getpid(), rand.Text()),
		lanes: map[int]*lane{}, waiting: map[string]*wait{}, proved: map[string]time.Time{},
		stats: Stats{Relayed: map[string]uint64{}},
	}, nil
}

// Run publishes until ctx ends; then it waits for what is under way, five seconds at most, and
// returns nil. What fails is tried again: it returns for no other reason. That NATS or the
// database is away, that the tables are missing, is logged and said by Stats. It is called once.
func (r *Relay) Run(ctx context.Context) error {
	var side sync.WaitGroup
	side.Go(func() { r.probeAll(ctx) })
	side.Go(func() { r.countAll(ctx) })
	side.Go(func() { r.listen(ctx) })
	defer side.Wait()
	idle := quickPoll
	for quick := time.Now(); ctx.Err() == nil; {
		n, err := r.look(ctx)
		switch {
		case n > 0:
			quick, idle = time.Now(), quickPoll
			continue
		case err != nil:
			idle = min(2*idle, r.config.Poll, defaultPoll)
		case time.Since(quick) > quickFor:
			idle = min(2*idle, r.config.Poll)
		}
		select {
		case <-ctx.Done():
		case <-r.box.kick:
			quick, idle = time.Now(), quickPoll
		case <-time.After(max(idle, r.paused())):
		}
	}
	return nil
}

// look publishes once what all lanes have, as far as there is nothing against it, and counts the
// rows that are done.
func (r *Relay) look(ctx context.Context) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sqloutbox: the relay panicked (%T)", p)
		}
		if ctx.Err() == nil {
			r.looked(err)
		}
	}()
	if r.paused() > 0 {
		return 0, nil
	}
	// Without NATS no transaction is opened: it would keep the database from cleaning up.
	if !r.js.Conn().IsConnected() {
		return 0, errNATSAway
	}
	lanes, err := r.busy(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range lanes {
		done, err := r.round(ctx, l)
		n += done
		if err != nil || ctx.Err() != nil || r.paused() > 0 {
			return n, err
		}
	}
	return n, nil
}

var errNATSAway = errors.New("not connected to NATS")
