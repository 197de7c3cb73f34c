package overview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/order"
)

// Config of a [Gatherer]. The zero value works.
type Config struct {
	// Prefix of subjects, streams and buckets. Default "redox".
	Prefix contract.Prefix
	// Topology are the streams and buckets that should be there. Default: those of Prefix.
	Topology topology.Topology
	// Timeout bounds each question to NATS. Default 2s.
	Timeout time.Duration
	// Wait bounds the time for the answers of workers. Default 1s.
	Wait time.Duration
	// Backlogs is of how many backlogs it is asked how old their oldest message is and how many were
	// delivered, in the order of [Overview.Backlogs]: that is two or three questions a backlog. Default
	// 64; −1 means none.
	Backlogs int
	// Heads is how many heads of orders are looked at. Default 10; −1 means none.
	Heads int
	// Subjects is up to how many subjects of the queue, and of the dead letters, are asked for one by
	// one, which the server counts under the lock of the stream. Where there are more, consumers
	// count: heads of orders are not looked at, and dead letters are counted by settlement alone.
	// Default 20,000.
	Subjects int
	// Explain adds to the error of a question that was not answered in time what the caller knows
	// of it. nil means nothing.
	Explain func(error) error
}

// WithDefaults returns a copy in which every zero field has its default.
func (c Config) WithDefaults() Config {
	c.Topology.Prefix = c.Prefix
	c.Timeout, c.Wait = cmp.Or(c.Timeout, 2*time.Second), cmp.Or(c.Wait, time.Second)
	c.Backlogs, c.Heads = max(0, cmp.Or(c.Backlogs, 64)), max(0, cmp.Or(c.Heads, 10))
	c.Subjects = cmp.Or(c.Subjects, 20_000)
	if c.Explain == nil {
		c.Explain = func(err error) error { return err }
	}
	return c
}

// Gatherer makes overviews. It is safe for concurrent use. One that is kept knows rates, and asks
// less: what a worker serves, and the dead letters, only when they have changed.
type Gatherer struct {
	js     jetstream.JetStream
	config Config
	tokens *order.Tokens

	mu      sync.Mutex
	served  map[string]map[string][]string // scopes by source, by digest
	samples []sample
	dead    deadCount
	cost    time.Duration // what the server took to count at the last look
}

// New makes no request.
func New(js jetstream.JetStream, c Config) (*Gatherer, error) {
	if js == nil {
		return nil, errors.New("overview: New needs a JetStream context")
	}
	c = c.WithDefaults()
	return &Gatherer{js: js, config: c, tokens: order.NewTokens(js, c.Prefix)}, nil
}

const (
	// share bounds the time that counting takes at the server: one part in so many. The time that an
	// answer took tells of others who count as well, so that all of them count less often.
	share = 20
	// much is how many subjects or consumers must be counted for the time to tell anything.
	much = 1000
	// leastPause and longestPause bound [Gatherer.Pause].
	leastPause, longestPause = time.Second, 30 * time.Second
)

// Pause is the time from one Gather to the next that nobody else will feel: a second, or up to
// half a minute where the server had much to count, or others have it count as well.
func (g *Gatherer) Pause() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return min(max(leastPause, share*g.cost), longestPause)
}

// costs notes that n things were counted since began.
func (g *Gatherer) costs(n int, began time.Time) {
	if n < much {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cost += time.Since(began)
}

// Gather looks. It returns within a few seconds, whatever does not answer: what could not be
// learnt is in the overview's Unknown.
func (g *Gatherer) Gather(ctx context.Context) Overview {
	x := &gathering{Gatherer: g, view: Overview{Prefix: g.config.Prefix.String()}}
	if conn := g.js.Conn(); !conn.IsConnected() {
		x.disconnected(conn)
	} else {
		x.look(ctx)
	}
	x.judge()
	x.view.Taken = time.Now()
	return x.view
}

// gathering is one Gather.
type gathering struct {
	*Gatherer
	asking sync.Mutex
	mu     sync.Mutex
	view   Overview

	doubts   []doubt
	faults   []topology.Fault
	crowds   []order.State                  // tokens with others behind their first message
	listed   bool                           // all consumers were
	counted  bool                           // what was handed back of what is at hand is known
	now      time.Time                      // by the server's clock, when the queue was looked at
	served   map[string]map[string][]string // scopes by source, by digest of the workers that serve them
	askedAll bool                           // the workers told who they are, and what they serve
	wide     []*Pause                       // that more than one source may be under
	narrow   map[string][]*Pause            // by the source that is
	keys     map[string]*Pause              // by their scope
	pausedIn map[pausedIn]bool
	waits    map[string][]*Backlog // by the scope that they wait for
}

// disconnected says that nothing is known, for there is no connection.
func (x *gathering) disconnected(conn *nats.Conn) {
	text := "NATS: " + strings.ToLower(conn.Status().String())
	if err := conn.LastError(); err != nil {
		text += ": " + err.Error()
	}
	x.doubts = append(x.doubts, doubt{"everything", "there is no connection to NATS"})
	x.view.Needs = append(x.view.Needs, Need{Person: true, Text: text, Mend: "start NATS, or look at nats.url and the network"})
}

// look asks everybody.
func (x *gathering) look(ctx context.Context) {
	x.Gatherer.mu.Lock()
	x.cost = 0
	x.Gatherer.mu.Unlock()
	var all sync.WaitGroup
	p := x.config.Prefix
	expected := make(chan int, 1)
	all.Go(func() { x.lookAtQueue(ctx) })
	all.Go(func() { x.lookAtHealth(ctx) })
	all.Go(func() {
		n := 0
		defer func() { expected <- n }()
		x.lookAtState(ctx)
		for _, q := range x.view.Quotas {
			n += q.Workers
		}
	})
	all.Go(func() {
		x.learn("dead letters", x.lookAtDead(ctx), info(p.DeadStream()), "CONSUMER.CREATE."+p.DeadStream())
	})
	all.Go(func() { x.learn("what is followed at Redox", x.lookAtReconcile(ctx), info(p.ReconcileStream())) })
	all.Go(func() { x.learn("workers", x.lookAtWorkers(ctx, expected), p.WorkersSubject()) })
	all.Wait()
	x.explainBacklogs()
	x.lookAtBacklogs(ctx)
	x.countInHand()
	x.learn("what ordered messages wait behind", x.lookAtHeads(ctx), get(p.OutStream()), get("KV_"+p.LedgerBucket()))
}

// info and get are questions to JetStream.
func info(stream string) string { return "STREAM.INFO." + stream }
func get(stream string) string  { return "STREAM.MSG.GET." + stream }

// lookAtState reads what workers share.
func (x *gathering) lookAtState(ctx context.Context) {
	bucket := "KV_" + x.config.Prefix.StateBucket()
	x.learn("pauses", x.lookAtPauses(ctx), info(bucket), "DIRECT.GET."+bucket+".$KV."+x.config.Prefix.StateBucket()+".pauses")
	x.learn("the use of the quota", x.lookAtQuotas(ctx), info(bucket))
}

// learn notes what could not be learnt, and why. The questions that were asked are those to
// JetStream, or to workers.
func (x *gathering) learn(what string, err error, questions ...string) {
	if err == nil {
		return
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		err = errMissing
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		err = errNoJetStream
	case errors.Is(err, context.DeadlineExceeded):
		err = x.unanswered(err, questions)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.doubts = append(x.doubts, doubt{what, err.Error()})
}

// unanswered is why no answer came. Of what the server refuses to this user it tells the
// connection alone, and of that only what came last: so the questions are asked again, one by one
// and for no answer.
func (x *gathering) unanswered(err error, questions []string) error {
	x.asking.Lock()
	defer x.asking.Unlock()
	conn := x.js.Conn()
	for _, question := range questions {
		subject := question
		if !strings.HasPrefix(subject, x.config.Prefix.String()+".") {
			subject = contract.APIPrefix(x.js) + question
		}
		if conn.Publish(subject, nil) != nil || conn.FlushTimeout(time.Second) != nil {
			break
		}
		if refused := x.refused(subject); refused != nil {
			return refused
		}
	}
	return x.config.Explain(err)
}

// doubt is something that could not be learnt.
type doubt struct{ what, why string }

// weight is more for what is more.
func (d doubt) weight() int { return slices.Index([]string{"workers", theQueue, "everything"}, d.what) }

const theQueue = "the queue"

// errMissing is why nothing is known of a stream that Needs names.
var errMissing = errors.New("a stream or bucket does not exist: run `redoxworker provision`")

// errNoJetStream is why nothing is known of any stream.
var errNoJetStream = errors.New("JetStream does not answer: enable jetstream in the server's configuration and for this account")

// unknown tells of doubts, those with the same reason together.
func unknown(doubts []doubt) (lines []string) {
	slices.SortFunc(doubts, func(a, b doubt) int {
		return cmp.Or(cmp.Compare(b.weight(), a.weight()), cmp.Compare(a.what, b.what))
	})
	for len(doubts) > 0 {
		why, things := doubts[0].why, []string(nil)
		doubts = slices.DeleteFunc(doubts, func(d doubt) bool {
			if d.why == why {
				things = append(things, d.what)
			}
			return d.why == why
		})
		lines = append(lines, strings.Join(things, ", ")+": "+why)
	}
	return lines
}

func (x *gathering) lookAtWorkers(ctx context.Context, expected <-chan int) error {
	workers, err := x.askWorkers(ctx, expected)
	served, missing := x.askServed(ctx, workers)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.view.Workers, x.served = workers, served
	x.view.Keys = mergeKeys(workers)
	x.askedAll = err == nil && missing == nil
	return errors.Join(err, missing)
}

// Workers are those that answer, and how many others have a lease of a quota.
func (g *Gatherer) Workers(ctx context.Context) (workers []Worker, silent int, err error) {
	x := &gathering{Gatherer: g}
	expected := make(chan int, 1)
	_ = x.lookAtQuotas(ctx) // it says no more than who else there should be
	n := 0
	for _, q := range x.view.Quotas {
		n += q.Workers
	}
	expected <- n
	if x.view.Workers, err = g.askWorkers(ctx, expected); err != nil {
		return nil, 0, x.unanswered(err, []string{g.config.Prefix.WorkersSubject()})
	}
	x.countSilent()
	return x.view.Workers, x.view.Silent, nil
}

// lookAtHealth finds out what is missing or full.
func (x *gathering) lookAtHealth(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*x.config.Timeout)
	defer cancel()
	faults, unknown, err := x.config.Topology.Health(ctx, x.js, nil)
	x.learn("whether streams and buckets are there and have room", err)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.faults = faults
	for _, name := range unknown {
		x.doubts = append(x.doubts, doubt{"whether stream " + name + " has room", "this user may not look at it"})
	}
}

// refused is why no answer can come: the server does not let this user ask.
func (g *Gatherer) refused(subject string) error {
	last := g.js.Conn().LastError()
	if errors.Is(last, nats.ErrPermissionViolation) && strings.Contains(last.Error(), `"`+subject+`"`) {
		return fmt.Errorf("%w: allow this user to publish to %s", outbox.ErrPermission, subject)
	}
	return nil
}
