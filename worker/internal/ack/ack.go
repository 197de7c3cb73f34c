// Package ack writes the acknowledgements of JetStream (NATS, JetStream wire API; nats.go,
// jetstream/message.go). A worker's are in its settle*.go alone.
package ack

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// The bodies of acknowledgements.
const (
	done       = "+ACK"
	back       = "-NAK"
	inProgress = "+WPI"
)

// Done acknowledges the delivery with this reply subject, and waits for the server to confirm
// that.
func Done(ctx context.Context, conn *nats.Conn, reply string) error {
	_, err := conn.RequestWithContext(ctx, reply, []byte(done))
	return err
}

// Back returns a delivery to the server, to be delivered again at once or after a delay. It does
// not wait for the server: if it fails, the message comes again after the ack wait.
func Back(conn *nats.Conn, reply string, delay time.Duration) {
	answer := back
	if delay > 0 {
		answer += ` {"delay": ` + strconv.FormatInt(delay.Nanoseconds(), 10) + `}`
	}
	_ = conn.Publish(reply, []byte(answer))
}

// InProgress starts the ack wait of a delivery anew. The server confirms it on the subject
// answer. A failure shows as a confirmation that never comes.
func InProgress(conn *nats.Conn, reply, answer string) {
	_ = conn.PublishRequest(reply, answer, []byte(inProgress))
}

// Delivery is one that the server tells apart by its numbers.
type Delivery struct {
	Stream, Consumer string
	// Sequence is that of the message in the stream, Consumed the one of the delivery among
	// those of the consumer, Count how often the message was delivered, this one included.
	Sequence, Consumed, Count uint64
}

// Reply is the reply subject of the delivery. It is of the form that servers take whatever form
// they use (ADR-15), also in a domain of JetStream: it has no part in the prefix of the API.
func (d Delivery) Reply() string {
	return fmt.Sprintf("$JS.ACK.%s.%s.%d.%d.%d.0.0", d.Stream, d.Consumer, d.Count, d.Sequence, d.Consumed)
}

// Wake has a message delivered now that was handed back until later: a negative acknowledgement
// without a delay takes the place of the one with it. Consumed may be the number of any delivery
// that is not below all that are acknowledged. Where confirmed is set, it waits for the server's
// answer.
func (d Delivery) Wake(ctx context.Context, conn *nats.Conn, confirmed bool) error {
	d.Count = 1
	if !confirmed {
		return conn.Publish(d.Reply(), []byte(back))
	}
	_, err := conn.RequestWithContext(ctx, d.Reply(), []byte(back))
	return err
}
