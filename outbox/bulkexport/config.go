package bulkexport

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// Defaults of Config.
const (
	defaultWait     = 5 * time.Minute
	defaultPatience = time.Hour
	defaultParallel = 4
)

// Config says what is exported and where to. Source, Request and Store are required.
type Config struct {
	// Source is the source of the configuration as which the workers ask.
	Source string
	// Request is what the export holds.
	Request Request
	// Store is where its files go: [Dir] or [Bucket]. Only one process at a time may use it.
	Store Store
	// Prefix of subjects and streams. Empty means redox.
	Prefix contract.Prefix
	// OrderSecret keys the ids by which the queue knows repeats; see [outbox.PublisherConfig].
	OrderSecret []byte
	// Ring and RequireSeal are those of [outbox.PublisherConfig]. What is exported is not sealed where it goes.
	Ring        *seal.Ring
	RequireSeal bool
	// AllowHosts are the hosts, "files.example.com" or with a port, from which files are fetched
	// directly, without a token: a server may keep its files in a store of files and give URLs
	// that are signed. Every other host is an error.
	AllowHosts []string
	// Client makes those requests. nil means one of its own. Redirects are not followed.
	Client *http.Client
	// Parallel is how many files are fetched at once. 0 means 4.
	Parallel int
	// Wait is how long one REQUEST may take until it is answered; it is not sent later than that.
	// 0 means 5 min; at most 9 min, which is as long as the queue surely knows a repeat.
	Wait time.Duration
	// Patience is how long trouble that may pass (no answer, 5xx, no worker, NATS away) is borne
	// without anything going well between, once the export has begun. 0 means 1 h.
	Patience time.Duration
	// Progress, when set, is called when something has changed, by one goroutine at a time. It
	// must not block.
	Progress func(Progress)
}

// maxWait is below the ten minutes for which the queue knows an id.
const maxWait = 9 * time.Minute

// WithDefaults returns a copy in which every zero field has its default.
func (c Config) WithDefaults() Config {
	c.Parallel = cmp.Or(c.Parallel, defaultParallel)
	c.Wait = cmp.Or(c.Wait, defaultWait)
	c.Patience = cmp.Or(c.Patience, defaultPatience)
	if c.Client == nil {
		c.Client = &http.Client{Transport: directTransport()}
	}
	client := *c.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.Client = &client
	return c
}

// Validate reports every field that cannot work.
func (c Config) Validate() error {
	errs := []error{contract.CheckSource(c.Source), c.Request.Validate()}
	if c.Store == nil {
		errs = append(errs, errors.New("bulkexport: Store: none; use OpenDir or NewBucket"))
	}
	if c.Parallel < 0 {
		errs = append(errs, fmt.Errorf("bulkexport: Parallel %d: use more than 0, or 0 for the default", c.Parallel))
	}
	if c.Wait < 0 || c.Wait > maxWait {
		errs = append(errs, fmt.Errorf("bulkexport: Wait %s: use up to %s, or 0 for the default", c.Wait, maxWait))
	}
	if c.Patience < 0 {
		errs = append(errs, fmt.Errorf("bulkexport: Patience %s: use more than 0, or 0 for the default", c.Patience))
	}
	for _, host := range c.AllowHosts {
		if !isHost(host) {
			errs = append(errs, errors.New("bulkexport: AllowHosts: use names of hosts, files.example.com or files.example.com:8443"))
		}
	}
	return errors.Join(errs...)
}

// Export gets one export. Its methods are for one goroutine at a time.
type Export struct {
	config    Config
	publisher *outbox.Publisher
	bodies    *outbox.Bodies
	progress  progress
	tries     atomic.Int64 // to fetch a file
}

// New returns an Export over js. It makes no request.
func New(js jetstream.JetStream, cfg Config) (*Export, error) {
	if js == nil {
		return nil, errors.New("bulkexport: New needs a JetStream context")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.WithDefaults()
	p, err := outbox.NewPublisher(js, outbox.PublisherConfig{Prefix: cfg.Prefix, OrderSecret: cfg.OrderSecret, ClaimCheck: true, LeaveBodies: true, Ring: cfg.Ring, RequireSeal: cfg.RequireSeal})
	if err != nil {
		return nil, err
	}
	e := &Export{config: cfg, publisher: p, bodies: outbox.NewBodies(js, cfg.Prefix)}
	e.progress.tell = cfg.Progress
	return e, nil
}
