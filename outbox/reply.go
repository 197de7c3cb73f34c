package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

const (
	mediaProblem = "application/problem+json"
	maxLogIDs    = 32
	maxLogID     = 128
	replyHeaders = 13 // of a reply, at most, besides its trace context and those of the answer
)

// Reply tells the publisher how its message was settled. Body is Redox's
// answer, byte for byte.
type Reply struct {
	MessageID string
	// ReplayOf is the id of the message of which this one is a replay, its dead letter sent
	// again; "" for one that is none.
	ReplayOf   string
	Settlement Settlement
	// Status is the HTTP status of the last answer; 0 when none came.
	Status   int
	Attempts int
	LogIDs   []string
	// Error is one safe line. On a delivered message it says that the answer
	// itself reports a problem.
	Error string
	// PossibleDuplicate says that an attempt had an unknown outcome: Redox may have the message
	// more than once, or may have it although it is not reported as delivered.
	PossibleDuplicate bool
	ContentType       string
	// Header holds the HTTP headers of the answer that tell more than its body, see
	// [contract.AnswerHeaders]; nil for none. A Location may name a patient.
	Header http.Header
	// BodyObject names the object in REDOX_BODIES that holds a body too large
	// for a message; Body is then empty.
	BodyObject string
	// Envelope and SealedHeaders belong to a sealed reply, see [Reply.Open]: Envelope holds the key that
	// its Body is encrypted with, SealedHeaders its ContentType and Header, encrypted. Both are empty if
	// the reply is not sealed, or was opened.
	Envelope, SealedHeaders string
	// Unseal reads the body that an object holds sealed; nil where it is not. It is set beside
	// the BodyObject of a reply that was opened and whose body was left in the object store.
	Unseal                  func(io.Reader) io.Reader
	TraceParent, TraceState string
	Body                    []byte
}

// OK reports whether Redox took the message and its answer reports no problem.
func (r Reply) OK() bool { return r.Settlement == Delivered && r.Error == "" }

// ReplyID is the Nats-Msg-Id of the durable reply to a message that the work queue has
// stored. With it the server drops a repeated write of the reply, and never mistakes the
// reply to another message for it, not even one with the same message id from another time
// or source.
func (m Message) ReplyID() string {
	return fmt.Sprintf("%s:%s:%d:%d:reply", m.Source, m.ID, m.Sequence, m.Stored.UnixNano())
}

// Encode makes the NATS message of the reply. A reply to a message that was
// not delivered and has no body gets an RFC 9457 problem document as its body.
// One that is stored needs a [Message.ReplyID] besides. The result shares Body.
func (r Reply) Encode(subject string) *nats.Msg {
	if len(r.Body) == 0 && r.BodyObject == "" && r.Settlement != Delivered {
		r.ContentType, r.Body = mediaProblem, r.problem()
	}
	h := make(nats.Header, 8)
	values := make([]string, 0, replyHeaders+len(r.Header)) // all in one piece of memory
	set := func(name, value string) {
		if value != "" {
			values = append(values, value)
			h[name] = values[len(values)-1 : len(values) : len(values)]
		}
	}
	set(contract.HeaderMessageID, r.MessageID)
	if checkReplayOf(r.ReplayOf) == nil {
		set(contract.HeaderReplayOf, r.ReplayOf)
	}
	set(contract.HeaderSettlement, string(r.Settlement))
	if r.Status > 0 {
		set(contract.HeaderStatus, strconv.Itoa(r.Status))
	}
	set(contract.HeaderAttempts, strconv.Itoa(r.Attempts))
	set(contract.HeaderLogIDs, joinLogIDs(r.LogIDs))
	set(contract.HeaderError, wire.Line(r.Error))
	if r.PossibleDuplicate {
		set(contract.HeaderPossibleDuplicate, "true")
	}
	if checkMediaType(contract.HeaderContentType, r.ContentType) == nil {
		set(contract.HeaderContentType, r.ContentType)
	}
	if r.Header != nil {
		kept := contract.AnswerHeader(r.Header)
		for _, name := range answerHeaders {
			set(contract.AnswerHeaderPrefix+name, kept.Get(name))
		}
	}
	set(contract.HeaderBodyObject, r.BodyObject)
	set(contract.HeaderSeal, r.Envelope)
	set(contract.HeaderSealed, r.SealedHeaders)
	setTrace(h, r.TraceParent, r.TraceState)
	return &nats.Msg{Subject: subject, Header: h, Data: r.Body}
}

// problem is RFC 9457, section 3, with the facts of the headers as extensions.
func (r Reply) problem() []byte {
	doc, err := json.Marshal(struct {
		Type       string     `json:"type"`
		Title      string     `json:"title"`
		Status     int        `json:"status,omitempty"`
		Detail     string     `json:"detail,omitempty"`
		Settlement Settlement `json:"settlement"`
		MessageID  string     `json:"message_id"`
		ReplayOf   string     `json:"replay_of,omitempty"`
		Attempts   int        `json:"attempts"`
	}{
		Type:   "urn:redoxworker:settlement:" + string(r.Settlement),
		Title:  "message " + string(r.Settlement),
		Status: r.Status, Detail: wire.Line(r.Error),
		Settlement: r.Settlement, MessageID: r.MessageID, ReplayOf: r.ReplayOf, Attempts: r.Attempts,
	})
	if err != nil { // strings and integers only: cannot happen
		return []byte(`{"type":"about:blank"}`)
	}
	return doc
}

// DecodeReply reads a reply. The result shares in.Data. An error means that in
// is not a reply of a worker; an error answer of the gateway is returned as a
// *GatewayError.
func DecodeReply(in *nats.Msg) (Reply, error) {
	if err := gatewayError(in); err != nil {
		return Reply{}, err
	}
	r := Reply{
		MessageID:   wire.First(in.Header, contract.HeaderMessageID),
		ReplayOf:    wire.First(in.Header, contract.HeaderReplayOf),
		Settlement:  Settlement(wire.First(in.Header, contract.HeaderSettlement)),
		Error:       wire.First(in.Header, contract.HeaderError),
		ContentType: wire.First(in.Header, contract.HeaderContentType),
		Header:      decodeAnswerHeader(in.Header),
		BodyObject:  wire.First(in.Header, contract.HeaderBodyObject),
		Envelope:    wire.First(in.Header, contract.HeaderSeal), SealedHeaders: wire.First(in.Header, contract.HeaderSealed),
		TraceParent: wire.First(in.Header, contract.HeaderTraceParent),
		TraceState:  wire.First(in.Header, contract.HeaderTraceState),
		Body:        in.Data,

		PossibleDuplicate: wire.First(in.Header, contract.HeaderPossibleDuplicate) == "true",
	}
	if r.MessageID == "" {
		return Reply{}, errors.New("outbox: not a reply: " + contract.HeaderMessageID + " is missing")
	}
	if !r.Settlement.Valid() {
		return Reply{}, errors.New("outbox: not a reply: " + contract.HeaderSettlement + " is missing or unknown")
	}
	var err error
	if r.Status, err = wire.Count(in.Header, contract.HeaderStatus, 999); err != nil {
		return Reply{}, err
	}
	if r.Attempts, err = wire.Count(in.Header, contract.HeaderAttempts, 1<<31-1); err != nil {
		return Reply{}, err
	}
	if ids := wire.First(in.Header, contract.HeaderLogIDs); ids != "" {
		r.LogIDs = strings.Split(ids, ",")
	}
	return r, nil
}

// joinLogIDs drops ids that would not survive a comma list in a header: they
// come from the far side.
func joinLogIDs(ids []string) string {
	var b strings.Builder
	kept := 0
	for _, id := range ids {
		if kept == maxLogIDs {
			break
		}
		if id == "" || len(id) > maxLogID || !wire.Visible(id) || strings.Contains(id, ",") {
			continue
		}
		if kept > 0 {
			b.WriteByte(',')
		}
		b.WriteString(id)
		kept++
	}
	return b.String()
}
