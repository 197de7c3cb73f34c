package service

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker"
)

// Options holds what a program gives a Service besides its configuration. The zero value works:
// the service then logs nothing and shares nothing.
type Options struct {
	// Name distinguishes a service from others in the process: it is the value of the label
	// service of all its metrics, an attribute of its log, and part of its worker's id in logs and
	// dead letters. "" means no label and no attribute. Services that share a registry must all
	// have a name.
	Name string
	// Settings are what the configuration was loaded with. With them the service follows the main
	// file and the files of sources_dir: it takes over sources and keys while it runs, and Status
	// names every other key that has changed and is not taken over. nil means that no file is
	// followed. The registry is followed whenever the configuration has registry: true.
	Settings *config.Options
	// Logger; nil discards. No body, query string, order key, token or secret is ever logged.
	Logger *slog.Logger
	// Level is that of Logger. With Settings it follows log.level of the main file while the service
	// runs. nil means that the level is fixed.
	Level *slog.LevelVar
	// Registerer of the redoxworker_* metrics, which are taken back when Run returns. nil means
	// a registry of the service's own.
	Registerer prometheus.Registerer
	// Gatherer is what Handler shows at /metrics. nil means Registerer if that is a registry, as
	// prometheus.NewRegistry makes it; otherwise there is no such page.
	Gatherer prometheus.Gatherer
	// TracerProvider for spans of each delivery, see [worker.Config]; nil means none. The trace context
	// of a message is continued either way.
	TracerProvider trace.TracerProvider
	// NATS is a connection to use instead of one by the configuration. Run waits until it is up,
	// neither closes nor drains it, and returns an error if somebody closes it before ctx ends.
	// Have it reconnect for ever (nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true)). What
	// the server reports on the connection, such as a missing permission, goes to its own handlers.
	// nil means a connection by the configuration.
	NATS *nats.Conn
	// Database is what the relay of the SQL outbox reads, where outbox.driver is set: opened with a
	// driver of that kind, at least two connections. Run neither opens nor closes it. nil with
	// outbox.driver set is an error of New: this package links no driver.
	Database *sql.DB
	// Listen hears of new rows of Database with outbox.notify; pgxtx.ListenDB is it. It takes one more
	// connection. nil with outbox.notify set is an error of New.
	Listen sqloutbox.Listener
	// KMS unwraps the keys of seal.ring_file that a key management service keeps; nil: there are none.
	KMS seal.KMS
	// Middleware wraps the Deliverer that sends messages to Redox. New calls it once; the worker
	// calls the result for every attempt. The result may call the wrapped Deliverer for the same
	// message, or not at all; see [worker.Deliverer] for what an answer and an error mean. nil
	// wraps nothing.
	Middleware func(worker.Deliverer) worker.Deliverer
	// Observe is called for every event of the worker, from many goroutines at once and on the path
	// of the message: it must be quick. A panic is logged. Default none.
	Observe func(worker.Event)
	// Version is that of the program, for /version and the User-Agent of requests. "" means that of
	// this module in the build.
	Version string
}

// wrap puts the middleware around what delivers.
func (o Options) wrap(d worker.Deliverer) (wrapped worker.Deliverer, err error) {
	if o.Middleware == nil {
		return d, nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("service: Options.Middleware panicked (%T); what it panicked with may hold anything and is not shown", p)
		}
	}()
	wrapped = o.Middleware(d)
	switch r := reflect.ValueOf(wrapped); {
	case wrapped == nil, (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil():
		return nil, errors.New("service: Options.Middleware returned nil; return the Deliverer that it was given, or one around it")
	}
	return wrapped, nil
}

// level is what is told of another log.level; nil where the level is fixed.
func (o Options) level() func(string) {
	if o.Level == nil {
		return nil
	}
	return func(level string) { _ = o.Level.UnmarshalText([]byte(level)) } // config.Load has checked it
}
