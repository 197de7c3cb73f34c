package sqlcmd

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/service"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// Commands are those of the SQL outbox.
type Commands struct {
	Migrate migrateCommand `cmd:"" help:"Make the tables, or bring them up to date."`
	Relay   relayCommand   `cmd:"" help:"Publish what is in the table until stopped, without a worker."`
	Status  statusCommand  `cmd:"" help:"What is in the table, and what is wrong with it."`
	Failed  failedCommand  `cmd:"" help:"Messages that cannot be published: list, try again, discard."`
}

// box is the outbox of a configuration and its database.
type box struct {
	*sqloutbox.Outbox
	db     *sql.DB
	config *config.Config
}

// open loads the configuration without the parts to skip.
func open(a *cli.App, skip config.Parts) (*box, error) {
	c, err := a.Load(skip)
	if err != nil {
		return nil, err
	}
	o, err := service.NewOutbox(c, nil)
	if err != nil {
		return nil, err
	}
	db, err := Open(c.Outbox)
	if err != nil {
		return nil, err
	}
	return &box{o, db, c}, nil
}

// migrateCommand makes the tables.
type migrateCommand struct {
	Print bool `help:"Print the SQL of all steps instead; it needs no database."`
	To    int  `placeholder:"N" help:"Up to this version. Default: the newest."`
}

// Run takes the steps that are missing and names them.
func (c migrateCommand) Run(ctx context.Context, a *cli.App) error {
	b, err := open(a, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	if c.Print {
		return c.print(a, b)
	}
	done, err := b.Migrate(ctx, b.db, c.To)
	if err != nil {
		return err
	}
	if a.Globals.JSON {
		if done == nil {
			done = []sqloutbox.Migration{}
		}
		return json.NewEncoder(a.Stdout).Encode(done)
	}
	for _, m := range done {
		a.Printf("%d %s\n", m.Version, m.Name)
	}
	if len(done) == 0 {
		fmt.Fprintln(a.Stderr, "the tables are up to date")
	}
	if c.To != 0 {
		return nil
	}
	return b.Check(ctx, b.db)
}

func (c migrateCommand) print(a *cli.App, b *box) error {
	all, err := b.Migrations()
	if err != nil {
		return err
	}
	if c.To < 0 || c.To > len(all) {
		return cli.Usagef("--to: there is no version %d; the newest is %d", c.To, len(all))
	}
	for _, m := range all {
		if c.To == 0 || m.Version <= c.To {
			if err := a.PrintText([]byte(m.SQL)); err != nil {
				return err
			}
		}
	}
	return nil
}

// relayCommand is the relay as a daemon.
type relayCommand struct{}

// Run publishes until a signal.
func (relayCommand) Run(ctx context.Context, a *cli.App) error {
	b, err := open(a, config.PartKeys|config.PartSources)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	log, err := a.Logger(b.config.Log)
	if err != nil {
		return err
	}
	if err := b.Check(ctx, b.db); err != nil {
		return err
	}
	ring, err := service.OpenRing(b.config, nil)
	if err != nil {
		return err
	}
	link := natslink.New(log, b.config.NATS.URL.String())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return link.Watch(ctx) })
	group.Go(func() error {
		conn, js, err := link.Connect(ctx, b.config)
		if err != nil {
			return err
		}
		defer conn.Close()
		relay, err := service.NewRelay(b.config, ring, b.db, Listen, js, log)
		if err != nil {
			return err
		}
		log.Info("outbox: relaying", "database", b.config.Outbox.Driver, "table", b.config.Outbox.Table)
		return relay.Run(ctx)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// statusCommand looks at the table.
type statusCommand struct {
	Watch bool `help:"Again every two seconds, until interrupted."`
}

// Run prints what is in the table; it fails where something keeps it from working.
func (c statusCommand) Run(ctx context.Context, a *cli.App) error {
	b, err := open(a, cli.NATSOnly)
	if err != nil {
		return err
	}
	defer func() { _ = b.db.Close() }()
	for {
		s, err := b.Status(ctx, b.db)
		if err != nil && len(s.Problems) == 0 {
			return err
		}
		if err := show(a, s, err); err != nil {
			return err
		}
		if !c.Watch {
			return problem(s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

func problem(s sqloutbox.Status) error {
	if len(s.Problems) == 0 {
		return nil
	}
	return errors.New("the outbox cannot work as it is; see its problems")
}

// show prints a status; what could not be read is left out.
func show(a *cli.App, s sqloutbox.Status, incomplete error) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(s)
	}
	for _, p := range s.Problems {
		fmt.Fprintln(a.Stderr, "redoxworker:", p)
	}
	if incomplete != nil {
		return nil
	}
	a.Printf("%s, oldest %.0fs, %s\n", cli.Counted(uint64(s.Rows), "row"), s.OldestSeconds, cli.Counted(uint64(s.FailedRows), "failed row"))
	if s.Bytes > 0 {
		a.Printf("table %d bytes, %s\n", s.Bytes, cli.Counted(uint64(s.DeadTuples), "dead row"))
	}
	if s.HorizonPartial {
		a.Printf("what others' transactions keep the database from cleaning up is not seen: GRANT pg_read_all_stats TO the user of outbox.dsn\n")
	}
	switch h := s.Horizon; {
	case h == nil:
	case h.Slot != "":
		a.Printf("the replication slot %s keeps the database from cleaning up\n", h.Slot)
	default:
		a.Printf("the transaction of process %d, %.0fs old, keeps the database from cleaning up\n", h.PID, h.AgeSeconds)
	}
	if len(s.Lanes) == 0 {
		return nil
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"lane", "rows", "last relay", "seconds ago"})
	for _, l := range s.Lanes {
		t.AppendRow(table.Row{l.Lane, l.Rows, l.Owner, fmt.Sprintf("%.0f", l.AgeSeconds)})
	}
	a.Printf("%s\n", a.Fitted(t, 4))
	return nil
}
