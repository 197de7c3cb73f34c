package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

const (
	sourceName  = "clinic-a" // resends what is unknown
	holdingName = "clinic-h" // holds it
	orderSecret = "an order secret for the bench that breaks things"
)

// Config of a [Bench].
type Config struct {
	Binaries Binaries
	// Dir takes data, configuration and logs.
	Dir string
	// Nodes is the number of NATS servers; with three, streams have three replicas.
	// Default 1.
	Nodes int
	// Workers is the number of worker processes. Default 3.
	Workers int
	// Failpoints runs the workers built with fail points.
	Failpoints bool
	// AckWait of the consumers: what a dead worker held comes again after it. Default 2s.
	AckWait time.Duration
	// Timeout is redox.timeout. Default 5s.
	Timeout time.Duration
	// BaseURL is where messages go, instead of to the witness; tokens are the witness's
	// all the same. CAFile is the authority of that address.
	BaseURL, CAFile string
	// PublishTimeout is how long one call of a publisher may take. Default 300ms.
	PublishTimeout time.Duration
	// Far is the simulated Redox.
	Far *redoxsim.Server
}

func (c Config) withDefaults() Config {
	c.Nodes = cmp.Or(c.Nodes, 1)
	c.Workers = cmp.Or(c.Workers, 3)
	c.AckWait = cmp.Or(c.AckWait, 2*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.PublishTimeout = cmp.Or(c.PublishTimeout, 300*time.Millisecond)
	if c.Far == nil {
		c.Far = &redoxsim.Server{}
	}
	return c
}

// Bench is NATS servers and workers, each a process, with a simulated Redox that sees all
// they send. End it with Close.
type Bench struct {
	config    Config
	prefix    contract.Prefix
	servers   *servers
	workers   []*process
	witness   *witness
	conn      *nats.Conn
	js        jetstream.JetStream
	publisher *outbox.Publisher

	mu     sync.Mutex
	record Record
}

// New starts the servers and provisions them; no worker runs yet. What it started is
// ended by Close, also after an error.
func New(ctx context.Context, c Config) (*Bench, error) {
	b := &Bench{config: c.withDefaults()}
	return b, b.open(ctx)
}

func (b *Bench) open(ctx context.Context) (err error) {
	c := b.config
	if b.witness, err = newWitness(c.Dir, c.Far); err != nil {
		return err
	}
	if b.servers, err = startServers(c.Binaries.Server, c.Dir, c.Nodes); err != nil {
		return err
	}
	b.conn, err = nats.Connect(b.servers.urls(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return err
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return err
	}
	if err := b.provision(ctx); err != nil {
		return err
	}
	b.publisher, err = outbox.NewPublisher(b.js, outbox.PublisherConfig{OrderSecret: []byte(orderSecret)})
	if err != nil {
		return err
	}
	for i := range c.Workers {
		if err := b.addWorker(fmt.Sprint("worker-", i+1)); err != nil {
			return err
		}
	}
	return nil
}

// provision repeats until a young cluster has its leaders.
func (b *Bench) provision(ctx context.Context) error {
	top := topology.Topology{Replicas: b.config.Nodes}
	var err error
	late := eventually(time.Minute, "streams and consumers", func() bool {
		_, err = top.Ensure(ctx, b.js)
		return err == nil || ctx.Err() != nil
	})
	return errors.Join(late, err)
}

// addWorker writes the configuration of a worker with an address of its own at the witness.
func (b *Bench) addWorker(name string) error {
	tokens, err := b.witness.listen(name)
	if err != nil {
		return err
	}
	c := b.config
	file := filepath.Join(c.Dir, name+".yaml")
	text := fmt.Sprintf(`
nats: {url: %q, provision: never, replicas: %d}
redox: {base_url: %q, token_url: %q, timeout: %v, ca_file: %q}
keys:
  main: {client_id: %s, kid: %s, private_key_file: %q}
sources:
  %s: {id: %s, key: main}
  %s: {id: %s, key: main, on_unknown: hold}
order: {secret: %q}
worker:
  concurrency: 16
  ack_wait: %v
  drain_timeout: 5s
  retry: {initial: 100ms, max: 1s, poison_after: 50}
quota: {scope: none}
gateway: {enabled: false}
admin: {listen: "off"}
log: {level: debug, format: json}
audit: {file: %q}
`, b.servers.urls(), c.Nodes, cmp.Or(c.BaseURL, tokens), tokens+redoxsim.PathToken, c.Timeout, c.CAFile, clientID, keyID, b.witness.keyFile,
		sourceName, sourceID, holdingName, sourceID, orderSecret, c.AckWait, b.auditFile())
	path := c.Binaries.Worker
	if c.Failpoints {
		path = c.Binaries.FailingWorker
	}
	b.workers = append(b.workers, &process{name: name, path: path, args: []string{"run", "--config", file}, log: filepath.Join(c.Dir, name+".log")})
	return os.WriteFile(file, []byte(text), 0o600)
}

// auditFile of all workers.
func (b *Bench) auditFile() string { return filepath.Join(b.config.Dir, "audit.ndjson") }

// Start starts a worker, counted from 0. env is added to its environment: a fail point.
func (b *Bench) Start(worker int, env ...string) error { return b.workers[worker].start(env...) }

// StartAll starts every worker.
func (b *Bench) StartAll() error {
	var errs []error
	for i := range b.workers {
		errs = append(errs, b.Start(i))
	}
	return errors.Join(errs...)
}

// Died waits until a worker has ended by itself, as at a fail point, and records that as a
// kill.
func (b *Bench) Died(worker int) error {
	p := b.workers[worker]
	err := p.wait(time.Minute)
	now := time.Now()
	b.note(Interruption{Fault: Kill, Target: p.name, From: now, To: now})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("%s was not killed: %w: %s", p.name, err, p.tail(4000))
}

// StopAll ends every worker in its own way and reports those that do not exit with 0.
func (b *Bench) StopAll() error {
	var errs []error
	for _, p := range b.workers {
		if p.running() {
			up := eventually(2*time.Minute, p.name+" is up", func() bool { return p.said("worker started") })
			errs = append(errs, up, p.terminate(2*time.Minute))
		}
	}
	return errors.Join(errs...)
}

// Drained waits until the work queue is empty.
func (b *Bench) Drained(ctx context.Context, limit time.Duration) error {
	err := eventually(limit, "the work queue is empty", func() bool {
		state, err := b.state(ctx, b.prefix.OutStream())
		return err == nil && state.Msgs == 0
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, b.left(ctx))
	}
	return nil
}

// left tells what is in the work queue, and what its consumers know of it.
func (b *Bench) left(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, b.prefix.OutStream())
	if err != nil {
		return err.Error()
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("the queue has %v\n", info.State.Subjects)
	for c := range s.ListConsumers(ctx).Info() {
		text += fmt.Sprintf("%s: delivered %+v, acknowledged up to %+v, %d in flight, %d pending, %d pulls\n", c.Name, c.Delivered, c.AckFloor, c.NumAckPending, c.NumPending, c.NumWaiting)
	}
	return text
}

func (b *Bench) state(ctx context.Context, stream string) (jetstream.StreamState, error) {
	info, err := b.info(ctx, stream)
	if err != nil {
		return jetstream.StreamState{}, err
	}
	return info.State, nil
}

func (b *Bench) info(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// Close kills what still runs and returns when nothing of the bench is left.
func (b *Bench) Close() {
	for _, p := range b.workers {
		p.kill()
	}
	if b.conn != nil {
		b.conn.Close()
	}
	if b.servers != nil {
		b.servers.close()
	}
	if b.witness != nil {
		b.witness.close()
	}
}

// Logs are the ends of what the processes have printed.
func (b *Bench) Logs(size int) string {
	text := ""
	for _, p := range b.workers {
		text += "== " + p.name + "\n" + p.tail(size) + "\n"
	}
	return text
}
