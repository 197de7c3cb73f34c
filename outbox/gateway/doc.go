// Package gateway lets any NATS client use plain requests: a [Gateway] stores them in the work
// queue and answers with a receipt, or has the worker answer with Redox's reply. A client reads the
// gateway's own answer with outbox.DecodeReply, as an *outbox.GatewayError.
package gateway
