package outbox

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Stored is a message as a stream holds it.
type Stored struct {
	Subject  string
	Header   nats.Header
	Body     []byte
	Sequence uint64
	Time     time.Time
}

// Decode reads a message of the work queue. Defaults are filled in (kind,
// method, id); ContentType and Accept stay empty when absent. The Body of the
// result is in.Body itself.
//
// A header that begins with redox- in any case must be one of the contract, or name an HTTP header
// behind [contract.RequestHeaderPrefix]. Nats-Msg-Id, Content-Type and Accept must be written exactly so. A
// header of the contract has one value, which is not empty. A malformed trace context is ignored,
// and its names may have any case.
//
// An error is a *ContractError, whose Poison method reports true. The Message beside it still holds
// what could be read: ID and Source as far as known, Lane, and ReplyTo only if it is a literal
// subject. Decode does not know which reply subjects are allowed: that is [ReplyPolicy.Check].
func Decode(p contract.Prefix, in Stored) (Message, error) { return decode(p, in, throughQueue) }

func decode(p contract.Prefix, in Stored, from entrance) (Message, error) {
	m := Message{Body: in.Body, Subject: in.Subject, Sequence: in.Sequence, Stored: in.Time}
	d := decoder{h: in.Header}
	var err error
	var token string
	m.Source, m.Lane, token, err = p.ParseOut(in.Subject)
	d.fail(err)
	m.ID = d.id(p, in.Sequence, from.longestID())
	m.Kind = Kind(d.get(contract.HeaderKind))
	m.Method = d.get(contract.HeaderMethod)
	m.Path = d.get(contract.HeaderPath)
	m.ContentType = d.get(contract.HeaderContentType)
	m.Accept = d.get(contract.HeaderAccept)
	m.Header = d.httpHeaders()
	m.BodyObject = d.get(contract.HeaderBodyObject)
	m.Envelope, m.SealedHeaders = d.get(contract.HeaderSeal), d.get(contract.HeaderSealed)
	m.ReplyTo = d.replyTo()
	m.OrderToken = d.orderToken(m.Lane, token)
	m.Deadline = d.deadline()
	m.ReplayOf = d.get(contract.HeaderReplayOf)
	m.ReplayCount = d.replayCount()
	m.PossibleDuplicate = d.possibleDuplicate()
	m.Position = wire.Position(m.ReplayOf, d.get(contract.HeaderOrderPosition), m.Sequence)
	m.Behind = wire.Behind(m.ReplayOf, d.get(contract.HeaderOrderBehind), m.Position)
	m.TraceParent, m.TraceState = traceContext(in.Header)
	m.fill()
	d.fail(from.check(in.Header))
	if from == throughQueue && m.OrderToken != "" && m.Lane != contract.LaneOrdered {
		d.fail(errUnordered)
	}
	d.checkFields(&m)
	if d.err != nil {
		return m, d.err
	}
	return m, nil
}

// decoder reads headers and keeps the first error.
type decoder struct {
	h   nats.Header
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// get returns a header's only value, "" when there is no such header. Two values of one
// header would let two readers see two messages; an empty one is that of a variable that was
// not set, and to take it for none would send the message without what its sender asked for.
func (d *decoder) get(name string) string {
	v := d.h[name]
	switch len(v) {
	case 0:
		return ""
	case 1:
		if v[0] == "" {
			d.fail(&ContractError{Part: name, Reason: "is empty: leave it out if there is none"})
		}
		return v[0]
	}
	d.fail(&ContractError{Part: name, Reason: "is given more than once"})
	return ""
}

// id is the message's own, else that of the stream's dedup, else where it is stored.
func (d *decoder) id(p contract.Prefix, sequence uint64, limit int) string {
	own, dedup := d.get(contract.HeaderMessageID), d.get(contract.HeaderID)
	switch {
	case d.isID(contract.HeaderMessageID, own, limit):
		d.isID(contract.HeaderID, dedup, wire.MaxDedupID)
		return own
	case d.isID(contract.HeaderID, dedup, limit):
		return dedup
	}
	return p.OutStream() + ":" + strconv.FormatUint(sequence, 10)
}

// isID reports whether a header holds an id.
func (d *decoder) isID(name, id string, limit int) bool {
	if id == "" {
		return false
	}
	err := checkID(name, id, limit)
	d.fail(err)
	return err == nil
}

func (d *decoder) replyTo() string {
	s := d.get(contract.HeaderReplyTo)
	if s == "" {
		return ""
	}
	if err := checkSubject(contract.HeaderReplyTo, s); err != nil {
		d.fail(err)
		return ""
	}
	return s
}

// orderToken is that of the subject, which decides what comes after what; the header repeats it.
func (d *decoder) orderToken(l contract.Lane, subject string) string {
	header := d.get(contract.HeaderOrderToken)
	if l != contract.LaneOrdered {
		return header
	}
	if header != "" && header != subject {
		d.fail(errOtherToken)
	}
	return subject
}

func (d *decoder) deadline() time.Time {
	s := d.get(contract.HeaderDeadline)
	if s == "" {
		return time.Time{}
	}
	t, err := contract.ParseInstant(s)
	d.fail(err)
	return t
}

func (d *decoder) possibleDuplicate() bool {
	s := d.get(contract.HeaderPossibleDuplicate)
	if s != "" && s != "true" {
		d.fail(&ContractError{Part: contract.HeaderPossibleDuplicate, Reason: "is not true: leave it out if it is not so"})
	}
	return s == "true"
}

func (d *decoder) replayCount() int {
	s := d.get(contract.HeaderReplayCount)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > wire.MaxReplays {
		d.fail(errReplayCount)
		return 0
	}
	return n
}

// checkFields applies the rules for which a Message must be whole.
func (d *decoder) checkFields(m *Message) {
	if d.err != nil {
		return
	}
	if !m.Kind.valid() {
		d.fail(errKind)
		return
	}
	d.fail(m.checkRoute())
	if d.err == nil {
		d.fail(checkMediaType(contract.HeaderContentType, m.ContentType))
	}
	if d.err == nil {
		d.fail(checkMediaType(contract.HeaderAccept, m.Accept))
	}
	if d.err == nil && m.OrderToken != "" && !wire.IsOrderToken(m.OrderToken) {
		d.fail(errOrderToken)
	}
	if d.err == nil {
		d.fail(m.checkBody())
	}
	if d.err == nil {
		d.fail(m.checkSealed())
	}
	if d.err == nil && m.Sealed() && len(d.h[contract.HeaderMessageID]) == 0 {
		d.fail(&ContractError{Part: contract.HeaderMessageID, Reason: "is missing: a sealed message needs it"})
	}
	if d.err == nil && m.ReplayOf != "" {
		d.fail(checkReplayOf(m.ReplayOf))
	}
}

// traceContext reads the W3C trace context. Its header names have no case (W3C Trace
// Context, 3.2.1): Go's propagators, for one, write Traceparent. What is malformed or
// there twice counts as absent.
func traceContext(h nats.Header) (parent, state string) {
	parent = only(folded(h, contract.HeaderTraceParent))
	if !isTraceParent(parent) {
		return "", ""
	}
	if state = strings.Join(folded(h, contract.HeaderTraceState), ","); !isTraceState(state) {
		state = ""
	}
	return parent, state
}

// folded returns the values of a header, whatever the case of its name.
func folded(h nats.Header, name string) []string {
	if v := h[name]; len(v) > 0 {
		return v
	}
	for other, v := range h {
		if len(other) == len(name) && strings.EqualFold(other, name) {
			return v
		}
	}
	return nil
}

func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}
