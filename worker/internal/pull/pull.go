// Package pull brings what consumers of JetStream have: a [Fetcher] asks for it, and an [Ahead] is what
// a puller has pulled beyond its slots. It knows no message of Redox and settles none.
package pull

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Fetcher asks consumers of one stream for messages. All its pulls share one subscription, and
// none of them waits at the server: what a consumer has comes at once, and what it does not
// have is asked for again when there is reason to. A pull says how many messages and how many
// bytes may come, so that nothing comes that has no slot.
//
// The client's own fetches cannot bound both, and subscribe anew each time.
type Fetcher struct {
	conn *nats.Conn
	late func(*nats.Msg) // called with a message that came after its pull was given up

	inbox  string
	prefix string // of the subjects of pulls

	mu    sync.Mutex
	count uint64
	pulls map[string]*pull // by consumer
	asked map[string]*pull // by reply subject
}

// pull is one that is under way.
type pull struct {
	consumer string
	reply    string // where its status comes
	from     chan *nats.Msg
}

// The errors of a pull.
var (
	// ErrNoConsumer is returned when the consumer is gone.
	ErrNoConsumer = errors.New("the consumer is gone")
	// ErrNoAnswer is returned when nothing came for 2s, and no end of the pull either.
	ErrNoAnswer = errors.New("NATS did not answer a pull within 2s")
)

// answerWait is how long a pull waits for the next message, or for its end.
const answerWait = 2 * time.Second

// New returns a fetcher of a stream. late is called, from any goroutine, with a message that came after
// its pull was given up. It makes no request.
func New(js jetstream.JetStream, stream string, late func(*nats.Msg)) *Fetcher {
	return &Fetcher{conn: js.Conn(), late: late, inbox: js.Conn().NewInbox(), prefix: contract.APIPrefix(js) + "CONSUMER.MSG.NEXT." + stream + ".",
		pulls: make(map[string]*pull), asked: make(map[string]*pull)}
}

// Listen subscribes to what the pulls bring. stop must be called.
func (f *Fetcher) Listen() (stop func(), err error) {
	sub, err := f.conn.Subscribe(f.inbox+".*", f.hear)
	if err != nil {
		return nil, fmt.Errorf("subscribing to the messages that are pulled: %w", err)
	}
	// What comes is bounded by what was asked for.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribing to the messages that are pulled: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// hear passes a message or a status on to its pull. A consumer has one pull at a time.
func (f *Fetcher) hear(msg *nats.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(msg.Subject, f.inbox) {
		if pull := f.asked[msg.Subject]; pull != nil {
			pull.give(msg)
		}
		return
	}
	if pull := f.pulls[ConsumerOf(msg.Reply)]; pull == nil || !pull.give(msg) {
		go f.late(msg)
	}
}

// give reports whether there is room for the message: more than was asked for is of an
// earlier pull.
func (p *pull) give(msg *nats.Msg) bool {
	select {
	case p.from <- msg:
		return true
	default:
		return false
	}
}

// ConsumerOf is the consumer that an acknowledgement's subject names: $JS.ACK.<stream>.<consumer>.…, or
// $JS.ACK.<domain>.<account>.<stream>.<consumer>.… of servers that name their domain (ADR-15).
func ConsumerOf(reply string) string {
	parts := strings.Split(reply, ".")
	switch {
	case len(parts) == 9:
		return parts[3]
	case len(parts) > 9:
		return parts[5]
	}
	return ""
}

// Fetch brings up to n messages that the consumer has now, of about so many bytes together.
// Messages may come beside an error.
func (f *Fetcher) Fetch(ctx context.Context, consumer string, n, bytes int) ([]*nats.Msg, error) {
	mine := f.begin(consumer, n)
	defer f.end(mine)
	ask := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"no_wait":true}`, n, bytes)
	if err := f.conn.PublishRequest(f.prefix+consumer, mine.reply, ask); err != nil {
		return nil, err
	}
	got := make([]*nats.Msg, 0, n)
	timer := time.NewTimer(answerWait)
	defer timer.Stop()
	for len(got) < n {
		select {
		case msg := <-mine.from:
			if msg.Subject == mine.reply {
				return got, pullStatus(msg)
			}
			got = append(got, msg)
			timer.Reset(answerWait)
		case <-timer.C:
			return got, ErrNoAnswer
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
	return got, nil
}

func (f *Fetcher) begin(consumer string, n int) *pull {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	mine := &pull{consumer: consumer, reply: f.inbox + "." + strconv.FormatUint(f.count, 10), from: make(chan *nats.Msg, n+1)} // and a status
	f.pulls[consumer], f.asked[mine.reply] = mine, mine
	return mine
}

func (f *Fetcher) end(mine *pull) {
	f.mu.Lock()
	if f.pulls[mine.consumer] == mine { // the puller of a source that came again has begun one of its own
		delete(f.pulls, mine.consumer)
	}
	delete(f.asked, mine.reply)
	f.mu.Unlock()
	for {
		select {
		case msg := <-mine.from:
			if msg.Subject != mine.reply {
				f.late(msg)
			}
		default:
			return
		}
	}
}

// pullStatus is what a status says that ends a pull; nil when the consumer has no more now.
func pullStatus(msg *nats.Msg) error {
	status, text := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "404" || status == "408": // no messages, or no more of them
		return nil
	case status == "503": // nobody listens
		return ErrNoConsumer
	case status == "409" && strings.Contains(text, "Consumer Deleted"):
		return ErrNoConsumer
	case status == "409" && (strings.Contains(text, "MaxBytes") || strings.Contains(text, "MaxAckPending") || strings.Contains(text, "Batch Completed")):
		return nil
	}
	return fmt.Errorf("a pull was refused: %s %s", status, text)
}
