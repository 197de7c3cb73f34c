package service

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// NewOutbox returns the SQL outbox of a configuration, whose outbox.driver is set. ring seals its rows; nil
// seals none.
func NewOutbox(c *config.Config, ring *seal.Ring) (*sqloutbox.Outbox, error) {
	if c.Outbox.Driver == "" {
		return nil, config.Mistakef("outbox.driver: is not set; use postgres, mysql or sqlite")
	}
	box, err := sqloutbox.New(sqloutbox.Dialect(c.Outbox.Driver), sqloutbox.Config{
		Prefix: contract.Prefix(c.NATS.Prefix), Table: c.Outbox.Table, OrderSecret: []byte(c.Order.Secret.Reveal()), MaxBody: max(c.Redox.MaxBody, c.Redox.MaxFile),
		Notify: c.Outbox.Notify, Ring: ring, RequireSeal: c.Seal.Require,
	})
	if err != nil {
		return nil, config.Mistake{Err: fmt.Errorf("outbox: %w", err)}
	}
	return box, nil
}

// NewRelay returns the relay of a configuration, whose outbox.driver is set, from a database to
// the queue of js. listen is called with outbox.notify alone.
func NewRelay(c *config.Config, ring *seal.Ring, db *sql.DB, listen sqloutbox.Listener, js jetstream.JetStream, log *slog.Logger) (*sqloutbox.Relay, error) {
	box, err := NewOutbox(c, ring)
	if err != nil {
		return nil, err
	}
	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{
		Prefix: contract.Prefix(c.NATS.Prefix), OrderSecret: []byte(c.Order.Secret.Reveal()), ClaimCheck: true,
		Ring: ring, RequireSeal: c.Seal.Require,
	})
	if err != nil {
		return nil, config.Mistake{Err: err}
	}
	if !c.Outbox.Notify {
		listen = nil
	}
	relay, err := sqloutbox.NewRelay(box, db, publisher, sqloutbox.RelayConfig{
		Batch: c.Outbox.Batch, Concurrency: c.Outbox.Concurrency, Poll: c.Outbox.Poll, OnLate: sqloutbox.Late(c.Outbox.OnLate),
		HoldAfterFailed: c.Order.AfterDeadLetter == config.AfterHold, Listen: listen, Logger: log,
	})
	if err != nil {
		return nil, config.Mistake{Err: fmt.Errorf("outbox: %w", err)}
	}
	return relay, nil
}

// checkOutbox looks whether there is a database to relay from where there is to be one.
func (s *Service) checkOutbox() error {
	if s.config.Outbox.Driver == "" {
		return nil
	}
	if s.options.Database == nil {
		return errors.New("service: outbox.driver is set, and there is no Options.Database; open one with a driver for " + s.config.Outbox.Driver)
	}
	if s.config.Outbox.Notify && s.options.Listen == nil {
		return errors.New("service: outbox.notify is set, and there is no Options.Listen; give pgxtx.ListenDB")
	}
	_, err := NewOutbox(s.config, s.ring)
	return err
}

// newRelay answers the relay of the configuration; nil where there is to be none.
func (s *Service) newRelay(js jetstream.JetStream) (*sqloutbox.Relay, error) {
	if s.config.Outbox.Driver == "" {
		return nil, nil
	}
	relay, err := NewRelay(s.config, s.ring, s.options.Database, s.options.Listen, js, s.log)
	if err != nil {
		return nil, err
	}
	if err := s.metrics.Register(RelayCollector(relay)); err != nil {
		return nil, fmt.Errorf("service: metrics of the outbox: %w", err)
	}
	s.relay.Store(relay)
	return relay, nil
}

// relayProblems are why rows of the outbox wait, one line each.
func (s *Service) relayProblems() (lines []string) {
	relay := s.relay.Load()
	if relay == nil {
		return nil
	}
	stats := relay.Stats()
	if stats.Trouble != "" {
		lines = append(lines, "outbox: "+stats.Trouble)
	}
	const shown = 10
	for n, source := range slices.Sorted(maps.Keys(stats.Waiting)) {
		if n == shown {
			lines = append(lines, fmt.Sprintf("outbox: %d more sources wait", len(stats.Waiting)-shown))
			break
		}
		lines = append(lines, "outbox: the rows of source "+source+" wait: "+stats.Waiting[source])
	}
	if stats.FailedRows > 0 {
		lines = append(lines, fmt.Sprintf("outbox: %d rows cannot be published; see `redoxworker outbox failed ls`", stats.FailedRows))
	}
	return lines
}

// RelayCollector shows what a relay does as metrics redoxworker_outbox_*.
func RelayCollector(r *sqloutbox.Relay) prometheus.Collector { return relayCollector{r} }

type relayCollector struct{ relay *sqloutbox.Relay }

func relayDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("redoxworker_outbox_"+name, help, labels, nil)
}

// ofDatabase ends the help of metrics that describe the whole database.
const ofDatabase = " Of the fleet: every relay of the database says the same, so take max, not sum."

// Describe implements [prometheus.Collector].
func (c relayCollector) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, out) }

// Collect implements [prometheus.Collector].
func (c relayCollector) Collect(out chan<- prometheus.Metric) {
	s := c.relay.Stats()
	gauge := func(name, help string, v float64) {
		out <- prometheus.MustNewConstMetric(relayDesc(name, help), prometheus.GaugeValue, v)
	}
	gauge("rows", "Rows of the SQL outbox that wait, counted every 30 s."+ofDatabase, float64(s.Rows))
	gauge("lag_seconds", "Age of the oldest row of the SQL outbox, looked at every 30 s."+ofDatabase, s.Lag.Seconds())
	gauge("failed", "Rows of the SQL outbox that cannot be published, counted every 30 s."+ofDatabase, float64(s.FailedRows))
	gauge("waiting_sources", "Sources whose rows wait because NATS refuses them.", float64(len(s.Waiting)))
	out <- prometheus.MustNewConstMetric(relayDesc("repeated_total", "Messages published again although the queue may have forgotten them."), prometheus.CounterValue, float64(s.Repeated))
	out <- prometheus.MustNewConstSummary(relayDesc("round_seconds", "Time that batches took."), s.Rounds, s.RoundSeconds, nil)
	var relayed uint64
	for _, n := range s.Relayed {
		relayed += n
	}
	out <- prometheus.MustNewConstMetric(relayDesc("relayed_total", "Messages of the SQL outbox that NATS confirmed."), prometheus.CounterValue, float64(relayed))
}
