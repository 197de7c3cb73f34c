package devstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// DemoCommand shows the whole way of a message in one process.
type DemoCommand struct {
	Web bool `help:"With the web console, and left running to be looked at, until interrupted."`
}

const (
	demoPace  = 120 * time.Millisecond // between two messages, to be watched
	demoLimit = 30 * time.Second
)

// Run publishes samples, shows what becomes of them and ends without error when that is
// what should have.
func (c DemoCommand) Run(ctx context.Context, a *cli.App) error {
	if err := standsAlone(a, "demo"); err != nil {
		return err
	}
	if _, err := standaloneLogger(a, ""); err != nil { // before anything is printed
		return err
	}
	samples, err := demoSamples()
	if err != nil {
		return err
	}
	d := newDemonstration("demo", samples, newLines(a, 29))
	d.web = c.Web
	summary, err := d.run(ctx, a)
	d.view.close()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	summary.print(a)
	var errs []error
	for _, difference := range summary.Differences {
		errs = append(errs, fmt.Errorf("demo: %s", difference))
	}
	return errors.Join(errs...)
}

// demonstration follows the samples from the publisher to their settlement.
type demonstration struct {
	profile string // of the simulator
	samples []sample
	view    *lines
	stack   *stack
	web     bool

	mu      sync.Mutex
	open    map[string]*sample      // by id, those without a settlement or a reply
	settled map[string]worker.Event // by id
	replies map[string]outbox.Reply // by id, of REQUESTs
	done    chan struct{}           // closed when nothing is open
}

func newDemonstration(profile string, samples []sample, view *lines) *demonstration {
	d := &demonstration{profile: profile, samples: samples, view: view, open: map[string]*sample{}, settled: map[string]worker.Event{},
		replies: map[string]outbox.Reply{}, done: make(chan struct{})}
	for i := range samples {
		d.open[samples[i].file] = &samples[i]
	}
	return d
}

// run publishes everything, waits for what becomes of it, stops the worker and looks at
// what is left behind.
func (d *demonstration) run(ctx context.Context, a *cli.App) (summary *demoSummary, err error) {
	d.stack, err = newStack(ctx, a, stackOptions{
		natsListen: "127.0.0.1:0", simListen: "127.0.0.1:0", adminListen: "off", webListen: d.webListen(), profile: d.profile, logLevel: "error",
		flags:   map[string]any{"worker.retry.initial": "600ms", "gateway.enabled": false},
		redox:   &redoxsim.Server{MessageKey: arrivalKey, Observe: d.arrived},
		observe: d.observe,
	})
	if err != nil {
		return nil, err
	}
	defer d.stack.close()
	if !a.Globals.JSON {
		a.Printf("A NATS server, a worker and a simulated Redox, in this process.\n\n")
	}
	d.tellWeb(a)
	publisher, err := outbox.NewPublisher(d.stack.js, outbox.PublisherConfig{OrderSecret: []byte(d.stack.config.Order.Secret.Reveal())})
	if err != nil {
		return nil, err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() { worked <- d.stack.run(working) }()
	limited, cancel := context.WithTimeoutCause(ctx, demoLimit, fmt.Errorf("not everything was settled within %s", demoLimit))
	err = d.perform(limited, publisher, worked)
	cancel()
	if err == nil && d.web {
		devLine(a, "settled", "\nAll is settled; everything runs on until Ctrl-C.")
		<-ctx.Done() // somebody has seen enough
	}
	stop()
	if err = errors.Join(err, <-worked); err != nil {
		return nil, err
	}
	return d.summarize(context.WithoutCancel(ctx))
}

func (d *demonstration) webListen() string {
	if d.web {
		return "127.0.0.1:0"
	}
	return "off"
}

// tellWeb says where the console is.
func (d *demonstration) tellWeb(a *cli.App) {
	switch {
	case !d.web:
	case a.Globals.JSON:
		a.Printf("{\"event\":\"listening\",\"console\":%q}\n", d.stack.web())
	default:
		a.Printf("The web console, until you end this with Ctrl-C: %s\n\n", d.stack.web())
	}
}

// perform publishes the samples and waits until each has its settlement and, if it asked
// for one, its reply.
func (d *demonstration) perform(ctx context.Context, publisher *outbox.Publisher, worked chan error) error {
	limit := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-d.done:
			return nil
		case err := <-worked:
			worked <- err
			return errors.Join(errors.New("the worker ended early"), err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	pace := time.NewTicker(demoPace)
	defer pace.Stop()
	for i, s := range d.samples {
		if err := d.publish(ctx, group, publisher, s); err != nil {
			group.Go(func() error { return fmt.Errorf("%s: %w", s.file, err) })
			break
		}
		if s.orderKey != "" && i+1 < len(d.samples) && d.samples[i+1].orderKey == s.orderKey {
			continue // at once: keeping them in order is the worker's part
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
	err := group.Wait()
	if limit.Err() != nil {
		err = fmt.Errorf("%w; still open: %s", context.Cause(limit), d.stillOpen())
	}
	return err
}

// publish one sample; the answer to a REQUEST is awaited meanwhile.
func (d *demonstration) publish(ctx context.Context, group *errgroup.Group, publisher *outbox.Publisher, s sample) error {
	h := happening{Event: "publish", Message: s.file, Name: s.event, Source: s.source, Lane: string(s.lane)}
	h.Detail = fmt.Sprintf("%s, %s", s.source, s.lane)
	if s.orderKey != "" {
		h.Detail = fmt.Sprintf("%s, %s, %s", s.source, s.lane, s.orderKey)
	}
	d.view.show(h)
	if s.lane != contract.LaneRequest {
		_, err := publisher.Publish(ctx, s.message())
		return err
	}
	group.Go(func() error {
		asked := time.Now()
		reply, err := publisher.Request(ctx, s.message())
		if err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		d.answered(s, reply, time.Since(asked))
		return nil
	})
	return nil
}

// arrivalKey names a message in the simulator's record: each sample has its own event.
func arrivalKey(_ http.Header, body []byte) string {
	name, err := bodyEvent(body)
	if err != nil {
		return ""
	}
	return name
}
