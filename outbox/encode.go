package outbox

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Encode makes the NATS message that stores m: its publish subject, headers and body
// (shared with m). It makes the same checks as Decode, so that a worker finds nothing to
// refuse; a failed check is a *ContractError. A non-empty OrderKey is an error: make the
// token first, or use a [Publisher], which does. The Nats-Msg-Id is <source>:<id>; with
// an order secret a Publisher replaces it by one that no other source can make.
func (m Message) Encode(p contract.Prefix) (*nats.Msg, error) {
	explicit := m.Method
	m.fill()
	subject, err := m.publishSubject(p)
	if err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	h := make(nats.Header, 8)
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{value}
		}
	}
	set(contract.HeaderID, wire.DedupID(nil, m.Source, m.ID))
	set(contract.HeaderMessageID, m.ID)
	if m.Kind != KindDataModel {
		set(contract.HeaderKind, string(m.Kind))
	}
	if m.Kind.routed() {
		set(contract.HeaderMethod, explicit)
	}
	set(contract.HeaderPath, m.Path)
	set(contract.HeaderContentType, m.ContentType)
	set(contract.HeaderAccept, m.Accept)
	setHTTPHeaders(h, m.Header)
	set(contract.HeaderReplyTo, m.ReplyTo)
	if !m.Deadline.IsZero() {
		set(contract.HeaderDeadline, m.Deadline.UTC().Format(time.RFC3339Nano))
	}
	set(contract.HeaderBodyObject, m.BodyObject)
	set(contract.HeaderSeal, m.Envelope)
	set(contract.HeaderSealed, m.SealedHeaders)
	setTrace(h, m.TraceParent, m.TraceState)
	set(contract.HeaderReplayOf, m.ReplayOf)
	if m.ReplayCount > 0 {
		set(contract.HeaderReplayCount, strconv.Itoa(m.ReplayCount))
	}
	if m.PossibleDuplicate {
		set(contract.HeaderPossibleDuplicate, "true")
	}
	if m.Position > 0 && m.ReplayOf != "" && m.OrderToken != "" {
		set(contract.HeaderOrderPosition, strconv.FormatUint(m.Position, 10))
		if m.Behind > 0 && m.Behind < m.Position-1 {
			set(contract.HeaderOrderBehind, strconv.FormatUint(m.Behind, 10))
		}
	}
	return &nats.Msg{Subject: subject, Header: h, Data: m.Body}, nil
}

func (m *Message) publishSubject(p contract.Prefix) (string, error) {
	if !wire.IsName(m.Source, wire.MaxSource) {
		return "", &ContractError{Part: "source", Reason: "is missing or not made of a-z, 0-9 and -"}
	}
	if m.OrderKey != "" {
		return "", &ContractError{Part: "order key", Reason: "must be turned into an order token first"}
	}
	switch m.Lane {
	case contract.LaneRequest:
		if m.OrderToken != "" {
			return "", &ContractError{Part: contract.HeaderOrderToken, Reason: "does not go with a REQUEST: requests have no order"}
		}
		return p.RequestSubject(m.Source), nil
	case contract.LaneOrdered:
		if m.OrderToken == "" {
			return "", &ContractError{Part: contract.HeaderOrderToken, Reason: "is missing in the ordered lane"}
		}
	case contract.LaneSend, "":
	default:
		return "", &ContractError{Part: "lane", Reason: "is not send, ordered or request"}
	}
	if m.OrderToken != "" {
		return p.OrderedSubject(m.Source, m.OrderToken), nil
	}
	return p.SendSubject(m.Source), nil
}

// check applies the rules of the wire to every field that becomes a header.
func (m *Message) check() error {
	if err := checkID(contract.HeaderMessageID, m.ID, maxNewID); err != nil {
		return err
	}
	if !m.Kind.valid() {
		return errKind
	}
	if err := m.checkRoute(); err != nil {
		return err
	}
	if err := checkMediaType(contract.HeaderContentType, m.ContentType); err != nil {
		return err
	}
	if err := checkMediaType(contract.HeaderAccept, m.Accept); err != nil {
		return err
	}
	if err := checkHTTPHeaders(m.Header); err != nil {
		return err
	}
	if m.ReplyTo != "" {
		if err := checkSubject(contract.HeaderReplyTo, m.ReplyTo); err != nil {
			return err
		}
	}
	if m.OrderToken != "" && !wire.IsOrderToken(m.OrderToken) {
		return errOrderToken
	}
	if err := m.checkBody(); err != nil {
		return err
	}
	if err := m.checkSealed(); err != nil {
		return err
	}
	if y := m.Deadline.UTC().Year(); y < 1 || y > 9999 {
		return &ContractError{Part: contract.HeaderDeadline, Reason: "is not an RFC 3339 instant"}
	}
	if m.ReplayCount < 0 || m.ReplayCount > wire.MaxReplays {
		return errReplayCount
	}
	if m.ReplayOf != "" {
		return checkReplayOf(m.ReplayOf)
	}
	return nil
}

func setTrace(h nats.Header, parent, state string) {
	if !isTraceParent(parent) {
		return
	}
	h[contract.HeaderTraceParent] = []string{parent}
	if isTraceState(state) {
		h[contract.HeaderTraceState] = []string{state}
	}
}
