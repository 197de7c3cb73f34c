// Package console is a web console for operators: what goes on, what needs a person, dead letters, and
// what somebody may do about them, without a shell.
//
// A [Console] is an [http.Handler] that may stand below any path. It shows the model of package
// overview, and does what package operate does: each deed leaves an entry in the audit trail before it
// is done. Who asks is told by a [Config.Guard], and may do what package access says. A request for
// application/json is answered with what the command prints with --json.
//
// Pages work without scripts, hold no style and no script of their own, and never a body, an order key
// or a query string of a message: those of one dead letter are shown to who may and says why.
package console

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/logsample"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// Config of a [Console].
type Config struct {
	// JS is a connection with the rights of the operator in deploy/nats.
	JS jetstream.JetStream
	// Prefix of subjects, streams and buckets. Default "redox".
	Prefix contract.Prefix
	// Path is where the console stands, such as /ops/redox; default "/". A request whose path does not
	// begin with it is taken as it is: what stands in front has taken it away.
	Path string
	// Guard lets people in, as access.Guard.Wrap does: it puts an access.User into the context of a request, or answers it
	// itself, as a page to sign in does. The paths that it sees begin at the root of the console; those
	// below /static/ hold nothing and need no user.
	Guard func(http.Handler) http.Handler
	// Topology are the streams and buckets that should be there. Default: those of Prefix.
	Topology topology.Topology
	// Settings are those of the workers, as far as they are known here: their sources and the names of
	// their keys are shown. nil means that nothing is known.
	Settings *config.Config
	// Ring opens sealed dead letters for who may see them, and seals what is edited. nil: they stay closed.
	Ring *seal.Ring
	// RequireSeal is that of [dlq.Config].
	RequireSeal bool
	// Outbox and Database are the SQL outbox that workers relay: its failed rows are shown, retried and
	// discarded. Set both or none. Whoever opened the database closes it, after Run has returned.
	Outbox   *sqloutbox.Outbox
	Database *sql.DB
	// PublicKeys serves the set of the public keys that the workers sign with, for a link on the page of
	// keys; nil means that the page says where the set is.
	PublicKeys http.Handler
	// Keep writes the entries of the audit trail. Default: to its stream.
	Keep audit.DeedSink
	// Explain adds to an error of NATS what the caller knows of it. nil means nothing.
	Explain func(error) error
	// Logger receives what goes wrong; nil discards it. No body, order key or query string is logged.
	Logger *slog.Logger
	// Version of the program.
	Version string
}

// Console serves the pages. Make one with [New]; its methods are safe for concurrent use.
type Console struct {
	config   Config
	log      *slog.Logger
	letters  *dlq.Store
	gatherer *overview.Gatherer
	view     *looker
	heads    lately[*heads]
	lists    letterPages
	sources  atomic.Pointer[registry.Snapshot] // nil before it is known
	pages    map[string]*template.Template
	handler  http.Handler
	streams  chan struct{} // a place for each stream of events
	heavy    chan struct{} // a place for each request that reads much
	exports  chan struct{} // a place for each export: it lasts as long as its reader likes
	jobs     jobs

	started  atomic.Bool
	began    chan struct{} // closed when Run begins
	over     chan struct{} // closed when Run ends
	running  sync.WaitGroup
	mu       sync.Mutex
	lifetime context.Context // of Run; nil before and after
}

const (
	// mostStreams bounds the pages that are kept up to date, mostHeavy the requests at once that read
	// through many messages, and mostExports the exports.
	mostStreams, mostHeavy, mostExports = 100, 2, 2
)

// New makes a console. It asks nothing yet: [Console.Run] does. Errors: what of c is missing.
func New(c Config) (*Console, error) {
	if c.JS == nil || c.Guard == nil {
		return nil, errors.New("console: New needs a JetStream context and a Guard, which says who may look")
	}
	if (c.Outbox == nil) != (c.Database == nil) {
		return nil, errors.New("console: New needs Outbox and Database, or none of the two")
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.Path = strings.TrimSuffix(c.Path, "/")
	if c.Keep == nil {
		c.Keep = audit.NewStream(c.JS, c.Prefix).Deed
	}
	if c.Explain == nil {
		c.Explain = func(err error) error { return err }
	}
	letters, err := dlq.New(c.JS, dlq.Config{Prefix: c.Prefix, Ring: c.Ring, RequireSeal: c.RequireSeal, ReadEvent: redox.ReadEvent})
	if err != nil {
		return nil, err
	}
	gatherer, err := overview.New(c.JS, overview.Config{Prefix: c.Prefix, Topology: c.Topology, Explain: c.Explain})
	if err != nil {
		return nil, err
	}
	pages, err := parsePages()
	if err != nil {
		return nil, err
	}
	console := &Console{
		config: c, log: logsample.Wrap(c.Logger), letters: letters, gatherer: gatherer, view: newLooker(gatherer.Gather, gatherer.Pause), pages: pages,
		streams: make(chan struct{}, mostStreams), heavy: make(chan struct{}, mostHeavy), exports: make(chan struct{}, mostExports), began: make(chan struct{}), over: make(chan struct{}),
	}
	console.jobs.console = console
	console.handler = console.stripped(guarded(c.Guard, console.routes()))
	return console, nil
}

// guarded has the guard, which may panic, stand between the headers of all answers and the pages.
func guarded(guard func(http.Handler) http.Handler, pages http.Handler) http.Handler {
	inside := guard(pages)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access.Headers(w.Header()) // also where the guard is another
		inside.ServeHTTP(w, r)
	})
}

// stripped takes Config.Path away.
func (c *Console) stripped(next http.Handler) http.Handler {
	below := http.StripPrefix(c.config.Path, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer c.recovered(w)
		switch {
		case c.config.Path != "" && r.URL.Path == c.config.Path: // links are relative to what is below
			w.Header().Set("Location", c.config.Path[strings.LastIndexByte(c.config.Path, '/')+1:]+"/")
			w.WriteHeader(http.StatusPermanentRedirect)
		case strings.HasPrefix(r.URL.Path, c.config.Path+"/"):
			below.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// ServeHTTP answers a request. It panics with nothing but [http.ErrAbortHandler], where an answer has to
// break off.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// recovered answers for a handler that panicked. What it panicked with may hold anything and is not
// shown.
func (c *Console) recovered(w http.ResponseWriter) {
	p := recover()
	switch {
	case p == nil:
		return
	case p == http.ErrAbortHandler: // the server breaks the connection
		panic(p)
	}
	c.log.Error("a page of the console panicked", "type", typeName(p), "at", panicPlace())
	http.Error(w, "this page failed; the log says where", http.StatusInternalServerError) // where it had not begun
}

// Run looks at what goes on, for as long as somebody watches, follows the registry and does what was
// begun here, until ctx ends; it returns when all that has ended. Without it pages say that nothing
// is known. It is called once.
func (c *Console) Run(ctx context.Context) error {
	if c.started.Swap(true) {
		return errors.New("console: Run was called twice")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.mu.Lock()
	c.lifetime = ctx
	c.mu.Unlock()
	close(c.began)
	var all sync.WaitGroup
	all.Go(func() { c.view.run(ctx) })
	all.Go(func() {
		registry.New(c.config.JS, registry.Options{Prefix: c.config.Prefix}).Watch(ctx, func(s registry.Snapshot) { c.sources.Store(&s) })
	})
	<-ctx.Done()
	close(c.over)
	c.mu.Lock()
	c.lifetime = nil
	c.mu.Unlock()
	all.Wait()
	c.running.Wait()
	return nil
}

// beginsWithin is how long a request waits for Run, which may begin after the handler does.
const beginsWithin = 2 * time.Second

// begin runs something for as long as Run does; false where that does not run.
func (c *Console) begin(what func(ctx context.Context)) bool {
	select {
	case <-c.began:
	case <-time.After(beginsWithin):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lifetime == nil {
		return false
	}
	ctx := c.lifetime
	c.running.Go(func() { what(ctx) })
	return true
}
