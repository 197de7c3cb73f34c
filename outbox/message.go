package outbox

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Message is one outbound message: what an application publishes and a worker
// delivers. Source is required, everything else has a default. It is a plain
// value; Body is shared, never copied.
type Message struct {
	// ID serves deduplication, the ledger and correlation: at most 200 visible ASCII characters,
	// unique within its source. [Receipt] says how long the queue recognises it. The Publisher
	// makes a UUIDv7 when it is empty; a stored message without one is called REDOX_OUT:<sequence>.
	// It is shown in logs and must hold no patient data.
	ID string
	// Source is the configured sender, [a-z0-9-]{1,64}.
	Source string
	// Lane defaults to LaneSend, or to LaneOrdered when there is an order key or token.
	Lane contract.Lane
	// Kind defaults to KindDataModel.
	Kind Kind
	// Method and Path are for kinds fhir and platform: the path below the kind's base path with its query string. A
	// worker percent-encodes what no URI has, such as blanks, | and letters outside ASCII, and leaves every %XX as it
	// is: a percent sign itself is %25. For kind fhir, Path may also be an unchanged link from an answer, such as the
	// URL of the next page, if it leads to the workers' redox.base_url. Method defaults to POST, or to GET for fhir
	// and platform without a body.
	Method, Path string
	// ContentType and Accept are passed on. Empty means the kind's default, JSON.
	ContentType, Accept string
	// Header holds further HTTP headers of the request to Redox, such as Prefer, If-Match and the
	// metadata of Carequality queries: one value each, of printable ASCII, at most 2,048 bytes
	// long, 32 headers and 8,192 bytes in all. A worker's [HeaderPolicy] decides which names it
	// lets through. Values may be patient data and are never logged.
	Header http.Header
	// ReplyTo is the subject for the reply; empty means that nobody waits. A worker's [ReplyPolicy]
	// decides which subjects it answers.
	ReplyTo string
	// OrderKey, such as a patient id, exists on the publisher's side only: it becomes OrderToken
	// and never leaves the process.
	OrderKey string
	// OrderToken of the messages that stay in order; see [OrderToken]. A stored message of
	// LaneOrdered has that of its subject.
	OrderToken string
	// Deadline after which the message is not sent; zero means none.
	Deadline time.Time
	// BodyObject is the claim check: the name of the body in the object store, one of
	// the message's own source; see [contract.BodyName]. Body is then empty.
	BodyObject string
	// TraceParent and TraceState are the W3C trace context, dropped if malformed.
	TraceParent, TraceState string
	// ReplayOf and ReplayCount are set by a replay.
	ReplayOf    string
	ReplayCount int
	// Position is the place in the order of the token: the sequence under which the
	// message was stored the first time. Decode sets it to Sequence, or to what a replay
	// says; Encode writes it only beside ReplayOf and an OrderToken.
	Position uint64
	// Behind is the position of the message before this one in the order of the token, as far
	// as it is known. Decode sets it to what a replay says, else to all before Position; Encode
	// writes it beside Position.
	Behind uint64
	// PossibleDuplicate says that the publisher may have published the message before, so long
	// ago that the queue no longer recognises it. The worker repeats that in its reply.
	PossibleDuplicate bool
	// ClearReply has a worker send an unsealed reply to a sealed message if the reply subject is
	// not stored: the caller has no ring of keys.
	ClearReply bool
	// Envelope and SealedHeaders belong to a sealed message, see [Message.Seal]: Envelope holds the
	// key that its Body is encrypted with, SealedHeaders its Method, Path, ContentType, Accept and
	// Header, encrypted. Both are empty if the message is not sealed.
	Envelope, SealedHeaders string
	// Body is in the format of the Kind. A byte order mark in front of JSON is ignored.
	Body []byte
	// OpenBody reads the body from the object store, from its start, each time it is
	// called; Body is then empty and BodySize its length in bytes. It may be called
	// until the attempt ends, by one goroutine at a time. The digest is checked before the
	// last part is handed out, so an altered body never arrives complete. Only a
	// worker sets it, for a Deliverer that asked for it; Encode ignores it.
	OpenBody func(context.Context) (io.ReadCloser, error)
	// BodySize belongs to OpenBody.
	BodySize int64

	// Subject, Sequence and Stored say where and when the stream stored the message.
	// Decode sets them; Encode ignores them.
	Subject  string
	Sequence uint64
	Stored   time.Time
}

// HasBody reports whether there is a body, here or in the object store.
func (m *Message) HasBody() bool { return len(m.Body) > 0 || m.BodyObject != "" }

// fill sets the defaults that the wire leaves out.
func (m *Message) fill() {
	if m.Kind == "" {
		m.Kind = KindDataModel
	}
	if m.Method == "" && !m.Sealed() {
		m.Method = http.MethodPost
		if m.Kind.routed() && !m.HasBody() {
			m.Method = http.MethodGet
		}
	}
}
