package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// stepPatience is how long the driver waits for what should take no time.
const stepPatience = 30 * time.Second

// measurement of one child.
type measurement struct {
	messages int
	took     time.Duration
	cpu      time.Duration
	peak     int64
	latency  *hdrhistogram.Histogram // microseconds
}

// loopLoad publishes. It belongs to one goroutine.
type loopLoad struct {
	conn *nats.Conn
	js   jetstream.JetStream
	body []byte
	next int // number of the next message
	// of how many sources the messages are, and how many order keys each has; 0: they have none
	sources, keys int
	from          int // number of the first of the sources
	requests      int // which messages are REQUESTs: one of so many; 0: none. Their answers are the simulator's
}

// message with the next number. Its reply comes to a subject that ends in the number.
func (l *loopLoad) message(r *loopReplies) *nats.Msg {
	name := messageID(r.inbox, l.next)
	l.next++
	return &nats.Msg{Subject: l.subject(l.next), Data: l.body,
		Header: nats.Header{contract.HeaderID: {name}, contract.HeaderReplyTo: {name}}}
}

// subject of the message with a number.
func (l *loopLoad) subject(n int) string {
	source := sourceName(l.from + n%l.sources)
	switch {
	case l.requests > 0 && n/l.sources%l.requests == 0:
		return contract.Prefix("").RequestSubject(source)
	case l.keys == 0:
		return contract.Prefix("").SendSubject(source)
	}
	return contract.Prefix("").OrderedSubject(source, fmt.Sprintf("%032x", n/l.sources%l.keys))
}

// first waits for the child to answer one message: then it is up.
func (l *loopLoad) first(ctx context.Context, r *loopReplies) error {
	reached := r.await(1)
	if err := l.conn.PublishMsg(l.message(r)); err != nil {
		return err
	}
	return within(ctx, reached, stepPatience, "no reply to the first message")
}

// paced publishes at a rate and answers the latencies from publish to reply.
func (l *loopLoad) paced(ctx context.Context, r *loopReplies, rate int, d time.Duration) (*hdrhistogram.Histogram, error) {
	reached := r.time(l.next, timesAtRate(rate, d))
	err := atRate(ctx, rate, d, func() error {
		r.sending(l.next)
		return l.conn.PublishMsg(l.message(r))
	})
	if err != nil {
		return nil, err
	}
	if err := within(ctx, reached, stepPatience, "replies are missing at a low rate"); err != nil {
		return nil, err
	}
	return r.timed(), nil
}

// full publishes a backlog and then watches the child work it off.
func (l *loopLoad) full(ctx context.Context, r *loopReplies, child *process, amount loopAmount) (m measurement, err error) {
	before := r.received()
	if err := l.store(ctx, r, amount.published); err != nil {
		return m, err
	}
	start, err := child.usage()
	if err != nil {
		return m, err
	}
	from, at := r.received(), time.Now()
	err = within(ctx, r.await(before+amount.measured), amount.limit, "")
	if err != nil && !errors.Is(err, errTimeout) {
		return m, err
	}
	took, messages := time.Since(at), r.received()-from
	end, err := child.usage()
	if err != nil {
		return m, err
	}
	if messages == 0 {
		return m, child.failed(errors.New("no reply at full load; try more --messages or a longer --duration"))
	}
	return measurement{messages: messages, took: took, cpu: end.CPU - start.CPU, peak: end.Peak}, nil
}

// store publishes n messages and waits until they are stored.
func (l *loopLoad) store(ctx context.Context, r *loopReplies, n int) error {
	for range n {
		if _, err := l.js.PublishMsgAsync(l.message(r), jetstream.WithStallWait(stepPatience)); err != nil {
			return fmt.Errorf("bench: publishing: %w", err)
		}
	}
	return within(ctx, l.js.PublishAsyncComplete(), stepPatience, "messages were not stored")
}

// purge takes away what is left of the backlog.
func (l *loopLoad) purge(ctx context.Context) error {
	stream, err := l.js.Stream(ctx, contract.Prefix("").OutStream())
	if err != nil {
		return err
	}
	return stream.Purge(ctx)
}

// loopReplies counts the replies of one measurement.
type loopReplies struct {
	inbox string
	sub   *nats.Subscription
	any   bool // answer of the simulator, not of the stand

	mu        sync.Mutex
	count     int
	bad       int // not delivered
	target    int
	reached   chan struct{} // closed at target
	base      int           // number of the first message that is timed
	sent      []time.Time
	histogram *hdrhistogram.Histogram
}

func (l *loopLoad) listen() (*loopReplies, error) {
	r := &loopReplies{any: l.requests > 0, inbox: l.conn.NewInbox(), histogram: hdrhistogram.New(1, stepPatience.Microseconds(), 3)}
	var err error
	if r.sub, err = l.conn.Subscribe(r.inbox+".*", r.take); err != nil {
		return nil, err
	}
	return r, r.sub.SetPendingLimits(-1, -1)
}

func (r *loopReplies) close() { _ = r.sub.Unsubscribe() }

func (r *loopReplies) take(msg *nats.Msg) {
	now := time.Now()
	number, _ := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if msg.Header.Get(contract.HeaderSettlement) != string(outbox.Delivered) || !r.any && len(msg.Data) != len(standAnswer) {
		r.bad++
	}
	if i := number - r.base; i >= 0 && i < len(r.sent) {
		_ = r.histogram.RecordValue(min(now.Sub(r.sent[i]).Microseconds(), stepPatience.Microseconds()))
	}
	r.check()
}

func (r *loopReplies) check() {
	if r.reached != nil && r.count >= r.target {
		close(r.reached)
		r.reached = nil
	}
}

// await answers a channel that closes when so many replies have come in all.
func (r *loopReplies) await(total int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	reached := make(chan struct{})
	r.target, r.reached = total, reached
	r.check()
	return reached
}

// time readies for n messages to be timed, from the given number on.
func (r *loopReplies) time(from, n int) <-chan struct{} {
	r.mu.Lock()
	r.base, r.sent = from, make([]time.Time, n)
	total := r.count + n
	r.mu.Unlock()
	return r.await(total)
}

// sending notes that a message that is timed goes out now.
func (r *loopReplies) sending(number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[number-r.base] = time.Now()
}

// timed ends the timing.
func (r *loopReplies) timed() *hdrhistogram.Histogram {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = nil
	return r.histogram
}

func (r *loopReplies) received() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

func (r *loopReplies) refused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad
}

// loopAmount bounds one measurement at full load.
type loopAmount struct {
	published int           // messages
	measured  int           // replies after which the clock stops; fewer, so that there is work to the last moment
	limit     time.Duration // after which it stops anyway
}
