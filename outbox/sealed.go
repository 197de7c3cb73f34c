package outbox

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// What has a patient in it is sealed: the body, and the headers that say how it is sent. See
// package seal for the format.

// isSealedHeader reports whether a header of a message is sealed with it.
func isSealedHeader(name string) bool {
	switch name {
	case contract.HeaderMethod, contract.HeaderPath, contract.HeaderContentType, contract.HeaderAccept:
		return true
	}
	return isRequestHeader(name)
}

// isSealedAnswer reports whether a header of a reply is sealed with it.
func isSealedAnswer(name string) bool {
	return name == contract.HeaderContentType || strings.HasPrefix(name, contract.AnswerHeaderPrefix)
}

// Sealed reports whether the message is sealed: its body, here or in the object store, and its headers
// with patient data are encrypted.
func (m *Message) Sealed() bool { return m.Envelope != "" }

// Opening decrypts the body of an opened message or reply while it is read. The zero value belongs to one
// that was not sealed.
type Opening struct {
	key    seal.DataKey
	sealed bool
	size   int64
	clear  bool
}

// Sealed reports whether there was anything to open.
func (o Opening) Sealed() bool { return o.sealed }

// Size is the length of the body, in bytes.
func (o Opening) Size() int64 { return o.size }

// ClearReply reports whether a reply that is not stored may go unsealed; see [Message].ClearReply.
func (o Opening) ClearReply() bool { return o.clear }

// Reader returns a reader of the opened body, or body itself if nothing is sealed. The error of a read is
// a [seal.ErrAltered], or that of body. No more than 64 KiB are held.
func (o Opening) Reader(body io.Reader) io.Reader {
	if !o.sealed {
		return body
	}
	return o.key.OpenFrom(body, o.size)
}

// Open is Reader for a body in memory.
func (o Opening) Open(body []byte) ([]byte, error) {
	if !o.sealed {
		return body, nil
	}
	return o.key.Open(body, o.size)
}

// Seal returns the message with its body and its headers with patient data encrypted. The
// message needs an ID, and an OrderToken in place of its OrderKey. A message that is already
// sealed stays as it is.
func (m Message) Seal(ring *seal.Ring, p contract.Prefix) (Message, error) {
	if m.Sealed() {
		return m, nil
	}
	key, err := m.sealHead(ring, p)
	if err == nil {
		m.Body = key.Seal(m.Body)
	}
	return m, err
}

// sealHead is Seal but for the body.
func (m *Message) sealHead(ring *seal.Ring, p contract.Prefix) (seal.DataKey, error) {
	h := seal.Headers{Size: int64(len(m.Body)), ClearReply: m.ClearReply}
	set := func(name, value string) {
		if value == "" {
			return
		}
		if h.Headers == nil {
			h.Headers = make(map[string]string)
		}
		h.Headers[name] = value
	}
	set(contract.HeaderMethod, m.Method)
	set(contract.HeaderPath, m.Path)
	set(contract.HeaderContentType, m.ContentType)
	set(contract.HeaderAccept, m.Accept)
	for name, values := range m.Header {
		set(contract.RequestHeaderPrefix+http.CanonicalHeaderKey(name), only(values[:min(1, len(values))]))
	}
	key, envelope, err := ring.New(m.sealLines(p, m.sealIDs()[0])...)
	if err != nil {
		return key, fmt.Errorf("outbox: %w", err)
	}
	m.Envelope, m.SealedHeaders = envelope, key.SealHeaders(h)
	m.Method, m.Path, m.ContentType, m.Accept, m.Header, m.ClearReply = "", "", "", "", nil, false
	return key, nil
}

// sealEncoded puts the seal of a message on what it was encoded to before it was sealed.
func (m *Message) sealEncoded(msg *nats.Msg) {
	for name := range msg.Header {
		if isSealedHeader(name) {
			delete(msg.Header, name)
		}
	}
	msg.Header[contract.HeaderSeal], msg.Header[contract.HeaderSealed] = []string{m.Envelope}, []string{m.SealedHeaders}
}

// Open is the reverse of Seal. It also makes the checks that Decode makes of a message that is not sealed. A body in
// the object store, or one that streams, is read through the Opening. A message that is not sealed stays as it is.
//
// The error is a *[ContractError], or one of package seal: where [seal.Decided] is false, another
// time may open it.
func (m Message) Open(ring *seal.Ring, p contract.Prefix) (Message, Opening, error) {
	if !m.Sealed() {
		return m, Opening{}, nil
	}
	h, o, err := m.openHead(ring, p)
	if err != nil {
		return m, Opening{}, fmt.Errorf("outbox: %w", err)
	}
	opened := m
	var d decoder
	if len(h.Headers) > 0 {
		d.h = make(nats.Header, len(h.Headers))
	}
	for name, value := range h.Headers {
		if !isSealedHeader(name) {
			d.fail(&ContractError{Part: contract.HeaderSealed, Reason: "holds a header that is not sealed"})
		}
		d.h[name] = []string{value}
	}
	opened.Method, opened.Path, opened.ContentType, opened.Accept = d.get(contract.HeaderMethod), d.get(contract.HeaderPath), d.get(contract.HeaderContentType), d.get(contract.HeaderAccept)
	opened.Header = d.httpHeaders()
	if m.BodyObject == "" {
		if opened.Body, err = o.Open(m.Body); err != nil {
			return m, Opening{}, fmt.Errorf("outbox: %w", err)
		}
	}
	opened.Envelope, opened.SealedHeaders = "", ""
	opened.fill()
	d.checkFields(&opened)
	return opened, o, d.err
}

// openHead opens the sealed headers.
func (m *Message) openHead(ring *seal.Ring, p contract.Prefix) (h seal.Headers, o Opening, err error) {
	for _, id := range m.sealIDs() {
		if o.key, err = ring.Open(m.Envelope, m.sealLines(p, id)...); !errors.Is(err, seal.ErrAltered) {
			break
		}
	}
	if err != nil {
		return h, o, err
	}
	if h, err = o.key.OpenHeaders(m.SealedHeaders); err != nil {
		return h, o, err
	}
	o.sealed, o.size, o.clear = true, h.Size, h.ClearReply
	return h, o, nil
}

// Reseal makes a new envelope for a sealed message with the present sealing key; body and headers stay
// as they are. changed is false if the envelope already uses that key.
func (m Message) Reseal(ring *seal.Ring, p contract.Prefix) (envelope string, changed bool, err error) {
	for _, id := range m.sealIDs() {
		if envelope, changed, err = ring.Rewrap(m.Envelope, m.sealLines(p, id)...); !errors.Is(err, seal.ErrAltered) {
			break
		}
	}
	return envelope, changed, err
}

// sealIDs are the ids beside which the message may have been sealed: that of the first message, also in a
// replay. A dead letter, and its replay, may have a time behind it.
func (m *Message) sealIDs() []string {
	id := m.ID
	if m.ReplayOf != "" {
		id = m.ReplayOf
	}
	ids := []string{id}
	if first, timed := wire.Untimed(id); timed {
		ids = append(ids, first)
	}
	return ids
}

// sealLines are the lines of the associated data of a message.
func (m *Message) sealLines(p contract.Prefix, id string) []string {
	lane, kind := contract.LaneSend, m.Kind
	switch {
	case m.Lane == contract.LaneRequest:
		lane = contract.LaneRequest
	case m.OrderToken != "":
		lane = contract.LaneOrdered
	}
	if kind == "" {
		kind = KindDataModel
	}
	return []string{"message", p.String(), m.Source, id, string(lane), m.OrderToken, string(kind), m.ReplyTo}
}

// SealReply seals the headers of an encoded reply that may hold patient data. It leaves the body in
// msg as it is and returns the data key for it.
func SealReply(ring *seal.Ring, p contract.Prefix, source string, msg *nats.Msg) (seal.DataKey, error) {
	h := seal.Headers{Size: int64(len(msg.Data)), Headers: make(map[string]string)}
	for name := range msg.Header {
		if isSealedAnswer(name) {
			h.Headers[name] = wire.First(msg.Header, name)
		}
	}
	key, envelope, err := ring.New(replyLines(p, source, msg.Header)...)
	if err != nil {
		return key, fmt.Errorf("outbox: seal a reply: %w", err)
	}
	for name := range h.Headers {
		delete(msg.Header, name)
	}
	msg.Header[contract.HeaderSeal], msg.Header[contract.HeaderSealed] = []string{envelope}, []string{key.SealHeaders(h)}
	return key, nil
}

// replyLines are the lines of the associated data of a reply.
func replyLines(p contract.Prefix, source string, h nats.Header) []string {
	return []string{"reply", p.String(), source, wire.First(h, contract.HeaderMessageID), wire.First(h, contract.HeaderReplayOf), wire.First(h, contract.HeaderSettlement), wire.First(h, contract.HeaderStatus)}
}

// Sealed reports whether the reply is sealed.
func (r *Reply) Sealed() bool { return r.Envelope != "" }

// Open opens a sealed reply to a message of a source. A body in the object store is read through the Opening.
// One that is not sealed stays as it is. The error is one of package seal.
func (r Reply) Open(ring *seal.Ring, p contract.Prefix, source string) (Reply, Opening, error) {
	if !r.Sealed() {
		return r, Opening{}, nil
	}
	h := nats.Header{contract.HeaderMessageID: {r.MessageID}, contract.HeaderReplayOf: {r.ReplayOf}, contract.HeaderSettlement: {string(r.Settlement)}}
	if r.Status > 0 {
		h[contract.HeaderStatus] = []string{strconv.Itoa(r.Status)}
	}
	fail := func(err error) (Reply, Opening, error) {
		return r, Opening{}, fmt.Errorf("outbox: open the reply to message %s: %w", r.MessageID, err)
	}
	key, err := ring.Open(r.Envelope, replyLines(p, source, h)...)
	if err != nil {
		return fail(err)
	}
	sealed, err := key.OpenHeaders(r.SealedHeaders)
	if err != nil {
		return fail(err)
	}
	o := Opening{key: key, sealed: true, size: sealed.Size}
	opened := r
	for name, value := range sealed.Headers {
		if isSealedAnswer(name) {
			h[name] = []string{value}
		}
	}
	opened.ContentType, opened.Header = wire.First(h, contract.HeaderContentType), decodeAnswerHeader(h)
	if r.BodyObject == "" {
		if opened.Body, err = o.Open(r.Body); err != nil {
			return fail(err)
		}
	}
	opened.Envelope, opened.SealedHeaders = "", ""
	return opened, o, nil
}
