package outboxtest

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ConfirmationLost stores the first message, does what happens next, and does not say that
// the message is stored.
type ConfirmationLost struct {
	jetstream.JetStream
	Next func()
	lost bool
}

// PublishMsg is that of [jetstream.JetStream].
func (c *ConfirmationLost) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := c.JetStream.PublishMsg(ctx, m, o...)
	if c.lost || err != nil {
		return ack, err
	}
	c.lost = true
	c.Next()
	return nil, context.DeadlineExceeded
}
