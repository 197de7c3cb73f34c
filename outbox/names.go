package outbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Prefix is the first token of every subject and, upper-cased, the start of
// every stream and bucket name. The empty Prefix means "redox". Two prefixes
// share one NATS account without touching each other.
type Prefix string

const maxPrefix = 32

// Validate reports whether p is empty or matches [a-z0-9-]{1,32}.
func (p Prefix) Validate() error {
	if p != "" && !wire.IsName(string(p), maxPrefix) {
		return fmt.Errorf("outbox: prefix %q: use 1 to %d of a-z, 0-9 and -", wire.Clip(string(p)), maxPrefix)
	}
	return nil
}

// NoSource is the source of a dead letter whose subject named none, in
// subjects and queries.
const NoSource = "_"

// CheckSource reports whether name can be the name of a source: a subject
// token that matches [a-z0-9-]{1,64}.
func CheckSource(name string) error {
	if !wire.IsName(name, wire.MaxSource) {
		return fmt.Errorf("outbox: source %q: use 1 to %d of a-z, 0-9 and -", wire.Clip(name), wire.MaxSource)
	}
	return nil
}

// String returns the prefix as subjects use it.
func (p Prefix) String() string {
	if p == "" {
		return "redox"
	}
	return string(p)
}

func (p Prefix) upper(suffix string) string {
	if p == "" || p == "redox" {
		return "REDOX" + suffix
	}
	return strings.ReplaceAll(strings.ToUpper(string(p)), "-", "_") + suffix
}

// OutStream is the name of the work queue, REDOX_OUT.
func (p Prefix) OutStream() string { return p.upper("_OUT") }

// DeadStream is the name of the dead-letter stream, REDOX_DLQ.
func (p Prefix) DeadStream() string { return p.upper("_DLQ") }

// ReplyStream is the name of the stream of durable replies, REDOX_REPLIES.
func (p Prefix) ReplyStream() string { return p.upper("_REPLIES") }

// AdvisoryStream is the name of the stream that captures the server's
// advisories about the work queue, REDOX_ADVISORIES.
func (p Prefix) AdvisoryStream() string { return p.upper("_ADVISORIES") }

// AuditStream is the name of the stream of the audit trail, REDOX_AUDIT.
func (p Prefix) AuditStream() string { return p.upper("_AUDIT") }

// AuditSubject is where the audit entry of a settlement is stored; the source of a
// message whose subject names none is _.
func (p Prefix) AuditSubject(source string) string {
	if !wire.IsName(source, wire.MaxSource) {
		source = NoSource
	}
	return p.String() + ".audit." + source
}

// DeedSubject is where the audit entry of what an operator did is stored; the source of a deed that
// concerns several, or none, is _. Workers have no right to it.
func (p Prefix) DeedSubject(source string) string { return p.AuditSubject(source) + ".deed" }

// ReconcileStream is the name of the queue of Redox's logs that are followed, REDOX_RECONCILE.
func (p Prefix) ReconcileStream() string { return p.upper("_RECONCILE") }

// ReconcileSubject is where a log of a source is put to be followed.
func (p Prefix) ReconcileSubject(source string) string { return p.String() + ".reconcile." + source }

// EventStream is the name of the stream of events about messages, REDOX_EVENTS.
func (p Prefix) EventStream() string { return p.upper("_EVENTS") }

// EventSubject is where an event about a message of a source is published: one token says
// what happened, such as "failed".
func (p Prefix) EventSubject(source, what string) string {
	return p.String() + ".event." + source + "." + what
}

// StateBucket is the name of the key-value bucket that all workers share, REDOX_STATE.
func (p Prefix) StateBucket() string { return p.upper("_STATE") }

// SourcesBucket is the name of the key-value bucket of the registry of sources, REDOX_SOURCES.
func (p Prefix) SourcesBucket() string { return p.upper("_SOURCES") }

// LedgerBucket is the name of the key-value bucket of attempts, REDOX_LEDGER.
func (p Prefix) LedgerBucket() string { return p.upper("_LEDGER") }

// BodyBucket is the name of the object store for large bodies, REDOX_BODIES.
func (p Prefix) BodyBucket() string { return p.upper("_BODIES") }

// SendSubject is where an unordered SEND is published.
func (p Prefix) SendSubject(source string) string {
	return p.String() + ".out." + source + ".send"
}

// OrderedSubject is where a SEND is published that stays in order with the
// others of the same token; see [OrderToken].
func (p Prefix) OrderedSubject(source, token string) string {
	return p.SendSubject(source) + "." + token
}

// RequestSubject is where a REQUEST is published.
func (p Prefix) RequestSubject(source string) string {
	return p.String() + ".out." + source + ".request"
}

// GatewaySubject is where a plain NATS request reaches gateway.
// LaneOrdered shares the subject of LaneSend: the header Redox-Order-Key
// makes the difference.
func (p Prefix) GatewaySubject(source string, l Lane) string {
	if l != LaneRequest {
		l = LaneSend
	}
	return p.String() + ".gateway." + source + "." + string(l)
}

// DeadSubject is where a dead letter is stored. The token comes from
// [Prefix.DeadToken].
func (p Prefix) DeadSubject(source string, s Settlement, token string) string {
	return p.String() + ".dlq." + source + "." + string(s) + "." + token
}

// DeadToken derives the last token of a dead letter's subject, 32 hex digits,
// from the message id and its sequence in the work queue: a repeated write
// after a crash meets the first one for ever.
func (p Prefix) DeadToken(id string, sequence uint64) string {
	sum := sha256.Sum256(strconv.AppendUint(append([]byte(id), 0), sequence, 10))
	return hex.EncodeToString(sum[:16])
}

// ReplySubject is a durable reply subject of source; rest is one or more
// tokens, usually the message id without dots.
func (p Prefix) ReplySubject(source, rest string) string {
	return p.String() + ".reply." + source + "." + rest
}

// IsReplySubject reports whether subject is stored in the stream of durable
// replies, whoever's it is.
func (p Prefix) IsReplySubject(subject string) bool {
	rest, ok := strings.CutPrefix(subject, p.String())
	return ok && strings.HasPrefix(rest, ".reply.") && len(rest) > len(".reply.")
}

// replySource is the source to whose messages a durable reply subject belongs; "" for another subject.
func (p Prefix) replySource(subject string) string {
	rest, ok := strings.CutPrefix(subject, p.String()+".reply.")
	source, _, more := strings.Cut(rest, ".")
	if !ok || !more {
		return ""
	}
	return source
}

// SendConsumer is the durable consumer of the SENDs of source, ordered and unordered. It exists
// while the source has something to send.
func (p Prefix) SendConsumer(source string) string { return source + "-send" }

// RequestConsumer is the durable consumer of the REQUESTs of source. It exists while the source
// has something to send.
func (p Prefix) RequestConsumer(source string) string { return source + "-request" }

// SweeperConsumer is the durable consumer of the advisories, on [Prefix.AdvisoryStream].
func (p Prefix) SweeperConsumer() string { return "sweeper" }

// OutSubjects is every subject of the work queue, with a wildcard.
func (p Prefix) OutSubjects() string { return p.String() + ".out.>" }

// WakeSubjects is every subject under which the server says to workers that a source has
// something, with a wildcard: the work queue's own after another word. Such a message has
// headers and no body.
func (p Prefix) WakeSubjects() string { return p.String() + ".wake.>" }

// TurnSubject is where workers tell each other whose turn it is among the order tokens of source.
// Nobody else publishes or subscribes there.
func (p Prefix) TurnSubject(source string) string { return p.String() + ".turn." + source }

// ParseTurn takes a subject of [Prefix.TurnSubject] apart.
func (p Prefix) ParseTurn(subject string) (source string, ok bool) {
	source, rest, ok := p.cut(subject, ".turn.")
	return source, ok && rest == ""
}

// WorkersSubject is where an operator asks all workers what each is doing.
func (p Prefix) WorkersSubject() string { return p.String() + ".worker.status" }

// ServedSubject is where one worker, named by the id of its NATS micro service, answers which
// sources it serves.
func (p Prefix) ServedSubject(instance string) string {
	return p.String() + ".worker.sources." + instance
}

// LaneConsumer is the durable consumer of a lane of source, as [Prefix.ParseOut] answers it:
// ordered and unordered SENDs have one.
func (p Prefix) LaneConsumer(source string, lane Lane) string {
	if lane == LaneRequest {
		return p.RequestConsumer(source)
	}
	return p.SendConsumer(source)
}

// ParseLaneConsumer takes the name of a consumer of the work queue apart. The lane is LaneSend
// also for ordered messages; ok is false for a name that is no lane's.
func (p Prefix) ParseLaneConsumer(name string) (source string, lane Lane, ok bool) {
	for _, lane := range [...]Lane{LaneSend, LaneRequest} {
		if source, ok := strings.CutSuffix(name, "-"+string(lane)); ok && wire.IsName(source, wire.MaxSource) {
			return source, lane, true
		}
	}
	return "", "", false
}

// ParseOut takes a subject of the work queue apart. The token is that of the order in
// LaneOrdered, "" in the others; a fourth part that is no token is an error, since no order
// can be kept by it. Source and lane are returned also with an error, as far as the subject has
// valid ones: a lane says that a worker reads it. It allocates only on an error.
func (p Prefix) ParseOut(subject string) (source string, lane Lane, token string, err error) {
	source, rest, ok := p.cut(subject, ".out.")
	if !ok {
		return "", "", "", &ContractError{Part: "subject", Reason: "is not one of " + p.String() + ".out.<source>"}
	}
	lane, token, ok = parseLane(rest)
	switch {
	case !ok:
		return source, "", "", &ContractError{Part: "subject", Reason: "has no lane that a worker serves"}
	case lane == LaneOrdered && !wire.IsOrderToken(token):
		return source, lane, "", &ContractError{Part: "subject", Reason: "does not end in an order token, 32 lower-case hex digits"}
	}
	return source, lane, token, nil
}

// ParseWake takes a subject of [Prefix.WakeSubjects] apart. ok is false where no worker has
// anything to do. LaneOrdered is also that of a message whose token is none: a worker has to
// say so. It does not allocate.
func (p Prefix) ParseWake(subject string) (source string, lane Lane, ok bool) {
	source, rest, ok := p.cut(subject, ".wake.")
	if !ok {
		return "", "", false
	}
	if lane, _, ok = parseLane(rest); !ok {
		return "", "", false
	}
	return source, lane, true
}

// cut takes what is behind the prefix and a word apart.
func (p Prefix) cut(subject, word string) (source, rest string, ok bool) {
	rest, ok = strings.CutPrefix(subject, p.String())
	if ok {
		rest, ok = strings.CutPrefix(rest, word)
	}
	source, rest, _ = strings.Cut(rest, ".")
	return source, rest, ok && wire.IsName(source, wire.MaxSource)
}

// parseLane reads what is behind the source; last is what follows an ordered lane.
func parseLane(rest string) (lane Lane, last string, ok bool) {
	switch rest {
	case string(LaneSend):
		return LaneSend, "", true
	case string(LaneRequest):
		return LaneRequest, "", true
	}
	last, ok = strings.CutPrefix(rest, string(LaneSend)+".")
	return LaneOrdered, last, ok
}

// ReconcileConsumer is the durable consumer of [Prefix.ReconcileStream] that all workers pull
// logs from.
func (p Prefix) ReconcileConsumer() string { return "reconcile" }

// APIPrefix returns the prefix of the subjects of the JetStream API as js reaches it, with a dot at
// the end. In a domain, or through an account's import under another name, it differs from "$JS.API.".
func APIPrefix(js jetstream.JetStream) string { return jsapi.APIPrefix(js) }

// BucketSubject is where a key of a bucket is written that cannot be put, for example because it has
// a TTL, also where js has another [APIPrefix] than most.
func BucketSubject(js jetstream.JetStream, bucket, key string) string {
	return jsapi.BucketSubject(js, bucket, key)
}
