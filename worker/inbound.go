package worker

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// inbound is what the worker keeps of a message that JetStream delivered. It is not the
// client's own: that points to the one after it for as long as it is kept (nats.go 1.55,
// Conn.waitForMsgs), so that a message whose answer takes minutes would keep in memory
// all that came in behind it, long settled, with their bodies.
type inbound struct {
	conn    *nats.Conn
	subject string
	reply   string // where it is acknowledged
	header  nats.Header
	body    []byte
}

func newInbound(conn *nats.Conn, msg *nats.Msg) inbound {
	return inbound{conn: conn, subject: msg.Subject, reply: msg.Reply, header: msg.Header, body: msg.Data}
}

// Acknowledgements of JetStream (NATS, JetStream wire API; nats.go, jetstream/message.go).
const (
	ackDone = "+ACK"
	ackBack = "-NAK"
)

// ack acknowledges the message and waits for the server to confirm that.
func (m *inbound) ack(ctx context.Context) error {
	_, err := m.conn.RequestWithContext(ctx, m.reply, []byte(ackDone))
	return err
}

// handBack returns the message to the server, to be delivered again at once or after a
// delay. If it fails, the message comes again after the ack wait.
func (m *inbound) handBack(delay time.Duration) {
	answer := ackBack
	if delay > 0 {
		answer += ` {"delay": ` + strconv.FormatInt(delay.Nanoseconds(), 10) + `}`
	}
	_ = m.conn.Publish(m.reply, []byte(answer))
}
