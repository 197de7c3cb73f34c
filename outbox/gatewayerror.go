package outbox

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// GatewayError is the gateway's own answer to a request that it did not store.
type GatewayError struct {
	// Code is the header Nats-Service-Error-Code, an HTTP status code.
	Code string
	// Text is the header Nats-Service-Error.
	Text string
}

// Error shows code and text.
func (e *GatewayError) Error() string { return "outbox: gateway: " + e.Code + " " + e.Text }

// gatewayError returns nil for every other message.
func gatewayError(in *nats.Msg) error {
	if code := first(in.Header, micro.ErrorCodeHeader); code != "" {
		return &GatewayError{Code: safeLine(code), Text: safeLine(first(in.Header, micro.ErrorHeader))}
	}
	return nil
}
