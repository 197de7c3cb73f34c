package outbox

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// onePrefix is an error of the NATS client whose text has its prefix twice: "nats: nats: …".
type onePrefix struct{ error }

func (e onePrefix) Error() string {
	return strings.ReplaceAll(e.error.Error(), "nats: nats: ", "nats: ")
}
func (e onePrefix) Unwrap() error { return e.error }

var (
	// ErrQueueFull is returned when the work queue, or the account's storage,
	// has reached its limit. Nothing was stored; publish again later.
	ErrQueueFull = errors.New("queue full")
	// ErrNoStream is returned when no stream takes the subject: the topology
	// is missing, or JetStream is not running.
	ErrNoStream = errors.New("no stream takes this subject")
	// ErrPermission is returned when the server refused a subject to this
	// user. NATS shows it as a timeout, so it is found only after one.
	ErrPermission = errors.New("not permitted by the NATS server")
	// ErrInDoubt is returned when a write got no answer and must not be repeated
	// under the same id: the queue may have stored the message, and may have
	// forgotten its id since, because a single server was restarted or because
	// it was long ago. Whoever publishes it again accepts that Redox may get it
	// twice; whoever does not looks for it first, in the replies or at Redox.
	ErrInDoubt = errors.New("it may be stored, and the queue may have forgotten its id: published again, it may be sent twice")
	// ErrDuplicate is returned by Request when the id was published before:
	// the reply goes where the first message asked for it.
	ErrDuplicate = errors.New("already published under this id")
	// ErrNoReply is returned when the wait for a reply ended first. The message
	// itself is stored and is still delivered.
	ErrNoReply = errors.New("no reply yet")
	// ErrRefused is returned by Ensure when a difference was left as it is,
	// because mending it would weaken or lose something.
	ErrRefused = errors.New("refused")
	// ErrBodyMissing is returned when a claim check names no stored object.
	ErrBodyMissing = errors.New("body object is missing")
	// ErrBodyAltered is returned when a stored object does not match its digest.
	ErrBodyAltered = errors.New("body object is altered")
)

// ContractError says which part of a message breaks the wire contract. It
// never holds the value of that part.
type ContractError struct {
	Part   string // header name, "subject", "body" or a field's name
	Reason string
}

// Error names the part and what is wrong with it.
func (e *ContractError) Error() string { return "outbox: " + e.SafeError() }

// SafeError is the text for replies and dead letters.
func (e *ContractError) SafeError() string { return "contract: " + e.Part + " " + e.Reason }

// Poison is true: such a message can never be delivered.
func (e *ContractError) Poison() bool { return true }

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

// Codes of the JetStream API (nats-server 2.15, errors.json).
const (
	codeNotAvailable          jetstream.ErrorCode = 10008
	codeNotLeader             jetstream.ErrorCode = 10009
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeAccountResources      jetstream.ErrorCode = 10002
	codeMemoryResources       jetstream.ErrorCode = 10028
	codeStorageResources      jetstream.ErrorCode = 10047
	codeMessageTooLarge       jetstream.ErrorCode = 10054
	codeWrongLastSequence     jetstream.ErrorCode = 10071
	codeStoreFailed           jetstream.ErrorCode = 10077
	codeWrongLastSequenceRace jetstream.ErrorCode = 10164
)

// apiCode returns the JetStream error code inside err, 0 if there is none.
func apiCode(err error) jetstream.ErrorCode {
	var e jetstream.JetStreamError
	if errors.As(err, &e) && e.APIError() != nil {
		return e.APIError().ErrorCode
	}
	return 0
}

// IsAlreadyStored reports whether err is the server's answer to a write that
// expected an empty subject and found it taken: an earlier write succeeded.
func IsAlreadyStored(err error) bool {
	code := apiCode(err)
	return code == codeWrongLastSequence || code == codeWrongLastSequenceRace
}
