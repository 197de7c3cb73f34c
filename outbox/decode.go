package outbox

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
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
// An error is a *ContractError, whose Poison method reports true. The Message
// beside it still holds what was good: ID and Source as far as known, Lane,
// and ReplyTo only if it is a literal subject. Decode does not know which
// reply subjects are allowed: that is [ReplyPolicy.Check].
func Decode(p Prefix, in Stored) (Message, error) {
	m := Message{Body: in.Body, Subject: in.Subject, Sequence: in.Sequence, Stored: in.Time}
	d := decoder{h: in.Header}
	var err error
	m.Source, m.Lane, _, err = p.ParseOut(in.Subject)
	d.fail(err)
	m.ID = d.id(p, in.Sequence)
	m.Kind = Kind(d.get(HeaderKind))
	m.Method = d.get(HeaderMethod)
	m.Path = d.get(HeaderPath)
	m.ContentType = d.get(HeaderContentType)
	m.Accept = d.get(HeaderAccept)
	m.BodyObject = d.get(HeaderBodyObject)
	m.ReplyTo = d.replyTo()
	m.OrderToken = d.get(HeaderOrderToken)
	m.Deadline = d.deadline()
	m.ReplayOf = d.get(HeaderReplayOf)
	m.ReplayCount = d.replayCount()
	m.Position = position(m.ReplayOf, d.get(HeaderOrderPosition), m.Sequence)
	if parent := first(in.Header, HeaderTraceParent); isTraceParent(parent) {
		m.TraceParent = parent
		if state := first(in.Header, HeaderTraceState); isTraceState(state) {
			m.TraceState = state
		}
	}
	m.fill()
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

// get returns a header's only value. Two values of one header would let two
// readers see two messages.
func (d *decoder) get(name string) string {
	v := d.h[name]
	switch len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	}
	d.fail(&ContractError{Part: name, Reason: "is given more than once"})
	return ""
}

func (d *decoder) id(p Prefix, sequence uint64) string {
	id := d.get(HeaderID)
	if id != "" {
		err := checkID(id, maxID)
		if err == nil {
			return id
		}
		d.fail(err)
	}
	return p.OutStream() + ":" + strconv.FormatUint(sequence, 10)
}

func (d *decoder) replyTo() string {
	s := d.get(HeaderReplyTo)
	if s == "" {
		return ""
	}
	if err := checkSubject(HeaderReplyTo, s); err != nil {
		d.fail(err)
		return ""
	}
	return s
}

func (d *decoder) deadline() time.Time {
	s := d.get(HeaderDeadline)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s)) // t and z may be lower-case (RFC 3339, 5.6)
	if err != nil || t.IsZero() {
		d.fail(errDeadline)
		return time.Time{}
	}
	return t
}

func (d *decoder) replayCount() int {
	s := d.get(HeaderReplayCount)
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxReplays {
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
		d.fail(checkMediaType(HeaderContentType, m.ContentType))
	}
	if d.err == nil {
		d.fail(checkMediaType(HeaderAccept, m.Accept))
	}
	if d.err == nil && m.OrderToken != "" && !isOrderToken(m.OrderToken) {
		d.fail(errOrderToken)
	}
	if d.err == nil {
		d.fail(m.checkBody())
	}
	if d.err == nil && m.ReplayOf != "" {
		d.fail(checkReplayOf(m.ReplayOf))
	}
}

// position is what a replay says, as far as it can be: before itself. Anything else is
// where the message is stored.
func position(replayOf, header string, sequence uint64) uint64 {
	if replayOf == "" || header == "" {
		return sequence
	}
	n, err := strconv.ParseUint(header, 10, 64)
	if err != nil || n == 0 || n > sequence {
		return sequence
	}
	return n
}

func first(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
