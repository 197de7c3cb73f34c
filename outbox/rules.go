package outbox

import (
	"strings"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Limits of single headers, in bytes. Together they bound what a dead letter
// adds to a message.
const (
	maxNewID     = 200 // of an id that is published; a replay adds ":r<n>"
	maxMediaType = 255
	maxObject    = 512
	traceParent  = 55  // W3C Trace Context, version 00
	maxState     = 512 // W3C Trace Context: what every system must pass on
)

var (
	errKind        = &ContractError{Part: contract.HeaderKind, Reason: "is not data-model, fhir, file or platform"}
	errOrderToken  = &ContractError{Part: contract.HeaderOrderToken, Reason: "is not 32 lower-case hex digits"}
	errUnordered   = &ContractError{Part: contract.HeaderOrderToken, Reason: "asks for an order that its subject does not keep: publish through the gateway, or to the subject that ends in the order token"}
	errOtherToken  = &ContractError{Part: contract.HeaderOrderToken, Reason: "is not the token at the end of the subject: leave it out, or repeat that one"}
	errReplayCount = &ContractError{Part: contract.HeaderReplayCount, Reason: "is not a count"}
)

// checkID checks the id that a header holds.
func checkID(name, id string, limit int) error {
	if id == "" {
		return &ContractError{Part: name, Reason: "is missing"}
	}
	if len(id) > limit {
		return tooLong(name, limit)
	}
	if !wire.Visible(id) {
		return &ContractError{Part: name, Reason: "holds a space or a character outside visible ASCII"}
	}
	return nil
}

func tooLong(part string, limit int) error {
	return &ContractError{Part: part, Reason: wire.TooLong(limit)}
}

func checkReplayOf(id string) error {
	if len(id) > wire.MaxID || !wire.Visible(id) {
		return &ContractError{Part: contract.HeaderReplayOf, Reason: "is not a message id"}
	}
	return nil
}

// checkMediaType keeps a value from becoming a second header or a smuggled one.
func checkMediaType(name, v string) error {
	if v == "" {
		return nil
	}
	if len(v) > maxMediaType {
		return tooLong(name, maxMediaType)
	}
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' {
			return &ContractError{Part: name, Reason: "holds a character outside printable ASCII"}
		}
	}
	if v[0] == ' ' || v[len(v)-1] == ' ' {
		return &ContractError{Part: name, Reason: "begins or ends with a space"}
	}
	return nil
}

// checkSubject accepts a literal NATS subject of visible ASCII.
func checkSubject(name, s string) error {
	if fault := wire.SubjectFault(s); fault != "" {
		return &ContractError{Part: name, Reason: fault}
	}
	return nil
}

func (m *Message) checkBody() error {
	if m.BodyObject == "" {
		return nil
	}
	if len(m.BodyObject) > maxObject || !wire.Visible(m.BodyObject) {
		return &ContractError{Part: contract.HeaderBodyObject, Reason: "is not the name of an object"}
	}
	// The name comes with the message: it must not reach what another source stored.
	if own := contract.BodyName(m.Source, ""); len(m.BodyObject) == len(own) || !strings.HasPrefix(m.BodyObject, own) {
		return &ContractError{Part: contract.HeaderBodyObject, Reason: "is not an object of the message's own source"}
	}
	if len(m.Body) > 0 {
		return &ContractError{Part: contract.HeaderBodyObject, Reason: "comes with a body: a claim check has none"}
	}
	return nil
}

// checkSealed refuses what is in the clear of what a sealed message has encrypted: two readers
// would see two messages.
func (m *Message) checkSealed() error {
	switch {
	case m.Envelope == "" && m.SealedHeaders == "":
		return nil
	case m.Envelope == "" || m.SealedHeaders == "":
		return &ContractError{Part: contract.HeaderSeal, Reason: "and " + contract.HeaderSealed + " go together, and one is missing"}
	case m.Method+m.Path+m.ContentType+m.Accept != "" || len(m.Header) > 0 || m.ClearReply:
		return &ContractError{Part: contract.HeaderSeal, Reason: "stands beside a header that must be sealed with it"}
	}
	return nil
}

// isTraceParent accepts version-traceid-parentid-flags. A malformed context is
// dropped, not refused: W3C Trace Context, 3.2.
func isTraceParent(s string) bool {
	if len(s) != traceParent || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 2 || i == 35 || i == 52 {
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s[:2] != "ff"
}

func isTraceState(s string) bool {
	if s == "" || len(s) > maxState {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
