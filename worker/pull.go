package worker

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

	"github.com/redoxworker/redoxworker/outbox"
)

// puller asks consumers of one stream for messages. All its pulls share one subscription, and
// none of them waits at the server: what a consumer has comes at once, and what it does not
// have is asked for again when there is reason to. A pull says how many messages and how many
// bytes may come, so that nothing comes that has no slot.
//
// The client's own fetches cannot bound both, and subscribe anew each time.
type puller struct {
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
	errNoConsumer = errors.New("the consumer is gone")
	errNoAnswer   = errors.New("NATS did not answer a pull within 2s")
)

func newPuller(js jetstream.JetStream, stream string, late func(*nats.Msg)) *puller {
	return &puller{conn: js.Conn(), late: late, inbox: js.Conn().NewInbox(), prefix: outbox.APIPrefix(js) + "CONSUMER.MSG.NEXT." + stream + ".",
		pulls: make(map[string]*pull), asked: make(map[string]*pull)}
}

// listen subscribes to what the pulls bring. stop must be called.
func (p *puller) listen() (stop func(), err error) {
	sub, err := p.conn.Subscribe(p.inbox+".*", p.hear)
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
func (p *puller) hear(msg *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(msg.Subject, p.inbox) {
		if pull := p.asked[msg.Subject]; pull != nil {
			pull.give(msg)
		}
		return
	}
	if pull := p.pulls[consumerOf(msg.Reply)]; pull == nil || !pull.give(msg) {
		go p.late(msg)
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

// consumerOf is the consumer that an acknowledgement's subject names: $JS.ACK.<stream>.<consumer>.…, or
// $JS.ACK.<domain>.<account>.<stream>.<consumer>.… of servers that name their domain (ADR-15).
func consumerOf(ack string) string {
	parts := strings.Split(ack, ".")
	switch {
	case len(parts) == 9:
		return parts[3]
	case len(parts) > 9:
		return parts[5]
	}
	return ""
}

// fetch brings up to n messages that the consumer has now, of about so many bytes together.
// Messages may come beside an error.
func (p *puller) fetch(ctx context.Context, consumer string, n, bytes int) ([]*nats.Msg, error) {
	mine := p.begin(consumer, n)
	defer p.end(mine)
	ask := fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"no_wait":true}`, n, bytes)
	if err := p.conn.PublishRequest(p.prefix+consumer, mine.reply, ask); err != nil {
		return nil, err
	}
	got := make([]*nats.Msg, 0, n)
	timer := time.NewTimer(stepTimeout)
	defer timer.Stop()
	for len(got) < n {
		select {
		case msg := <-mine.from:
			if msg.Subject == mine.reply {
				return got, pullStatus(msg)
			}
			got = append(got, msg)
			timer.Reset(stepTimeout)
		case <-timer.C:
			return got, errNoAnswer
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
	return got, nil
}

func (p *puller) begin(consumer string, n int) *pull {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	mine := &pull{consumer: consumer, reply: p.inbox + "." + strconv.FormatUint(p.count, 10), from: make(chan *nats.Msg, n+1)} // and a status
	p.pulls[consumer], p.asked[mine.reply] = mine, mine
	return mine
}

func (p *puller) end(mine *pull) {
	p.mu.Lock()
	delete(p.pulls, mine.consumer)
	delete(p.asked, mine.reply)
	p.mu.Unlock()
	for {
		select {
		case msg := <-mine.from:
			if msg.Subject != mine.reply {
				p.late(msg)
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
		return errNoConsumer
	case status == "409" && strings.Contains(text, "Consumer Deleted"):
		return errNoConsumer
	case status == "409" && (strings.Contains(text, "MaxBytes") || strings.Contains(text, "MaxAckPending") || strings.Contains(text, "Batch Completed")):
		return nil
	}
	return fmt.Errorf("a pull was refused: %s %s", status, text)
}
