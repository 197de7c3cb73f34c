package worker

import (
	"github.com/nats-io/nats.go"
)

// inbound is what the worker keeps of a message that JetStream delivered. It is not the
// client's own: that points to the one after it for as long as it is kept (nats.go 1.55,
// Conn.waitForMsgs), so that a message whose answer takes minutes would keep in memory
// all that came in behind it, long settled, with their bodies.
type inbound struct {
	subject string
	reply   string // where it is acknowledged
	header  nats.Header
	body    []byte
}

func newInbound(msg *nats.Msg) inbound {
	return inbound{subject: msg.Subject, reply: msg.Reply, header: msg.Header, body: msg.Data}
}
