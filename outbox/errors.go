package outbox

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

var (
	// ErrQueueFull is returned when the work queue, or the account's storage,
	// has reached its limit. Nothing was stored; publish again later.
	ErrQueueFull = jsapi.ErrQueueFull
	// ErrShareFull is the [ErrQueueFull] of a source that has its share of the queue, see
	// PublisherConfig.MaxShare. The queue has room for others.
	ErrShareFull = fmt.Errorf("%w for this source", ErrQueueFull)
	// ErrNoStream is returned when no stream takes the subject: the topology
	// is missing, or JetStream is not running.
	ErrNoStream = jsapi.ErrNoStream
	// ErrPermission is returned when the server refused a subject to this
	// user. NATS shows it as a timeout, so it is found only after one.
	ErrPermission = jsapi.ErrPermission
	// ErrInDoubt is returned when a write got no answer and must not be repeated under the same id:
	// the queue may have stored the message and may have forgotten its id since, because a single
	// server was restarted or because too much time has passed. Publishing it again risks that
	// Redox gets it twice; look for it first in the replies or at Redox.
	ErrInDoubt = publish.ErrInDoubt
	// ErrDuplicate is returned by Request when the id was published before:
	// the reply goes where the first message asked for it.
	ErrDuplicate = errors.New("already published under this id")
	// ErrNoReply is returned when the wait for a reply ended first. The message
	// itself is stored and is still delivered.
	ErrNoReply = errors.New("no reply yet")
	// ErrUnsealedReply is returned beside a reply that is not sealed where it must be: it may be
	// another's than a worker's. Its body and HTTP headers are left out.
	ErrUnsealedReply = errors.New("the reply is not sealed, and seal.require is on: look who may publish to the reply subjects of the source, and whether its workers require seals")
	// ErrBodyMissing is returned when a claim check names no stored object.
	ErrBodyMissing = errors.New("body object is missing")
	// ErrBodyAltered is returned when a stored object does not match its digest.
	ErrBodyAltered = errors.New("body object is altered")
)

// ErrUnsealed is returned for a message that is not sealed where it must be. It is a *[ContractError].
var ErrUnsealed error = &ContractError{Part: contract.HeaderSeal, Reason: "is missing, and seal.require is on: publish the message where there is a ring of keys (seal.ring_file)"}

// ContractError says which part of a message breaks the wire contract. It never holds the value of that
// part. Its Poison method reports true.
type ContractError = contract.Error

// SizeError is returned when something is larger than a limit. Sizes are bytes.
type SizeError struct {
	What  string // "message", "body", "header"
	Size  int64  // -1 when it is only known to be larger
	Limit int64
	Name  string // where the limit comes from, e.g. "max_payload of the NATS server"
}

// Error names the size, the limit and where the limit comes from.
func (e *SizeError) Error() string {
	if e.Size < 0 {
		return fmt.Sprintf("outbox: %s is over %d bytes, the %s", e.What, e.Limit, e.Name)
	}
	return fmt.Sprintf("outbox: %s of %d bytes is over %d bytes, the %s", e.What, e.Size, e.Limit, e.Name)
}

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
	if code := wire.First(in.Header, micro.ErrorCodeHeader); code != "" {
		return &GatewayError{Code: wire.Line(code), Text: wire.Line(wire.First(in.Header, micro.ErrorHeader))}
	}
	return nil
}
