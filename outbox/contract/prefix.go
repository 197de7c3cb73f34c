package contract

import (
	"fmt"
	"strings"

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

// ReconcileStream is the name of the queue of Redox's logs that are followed, REDOX_RECONCILE.
func (p Prefix) ReconcileStream() string { return p.upper("_RECONCILE") }

// EventStream is the name of the stream of events about messages, REDOX_EVENTS.
func (p Prefix) EventStream() string { return p.upper("_EVENTS") }

// StateBucket is the name of the key-value bucket that all workers share, REDOX_STATE.
func (p Prefix) StateBucket() string { return p.upper("_STATE") }

// SourcesBucket is the name of the key-value bucket of the registry of sources, REDOX_SOURCES.
func (p Prefix) SourcesBucket() string { return p.upper("_SOURCES") }

// LedgerBucket is the name of the key-value bucket of attempts, REDOX_LEDGER.
func (p Prefix) LedgerBucket() string { return p.upper("_LEDGER") }

// BodyBucket is the name of the object store for large bodies, REDOX_BODIES.
func (p Prefix) BodyBucket() string { return p.upper("_BODIES") }

// SendConsumer is the durable consumer of the SENDs of source, ordered and unordered. It exists
// while the source has something to send.
func (p Prefix) SendConsumer(source string) string { return source + "-send" }

// RequestConsumer is the durable consumer of the REQUESTs of source. It exists while the source
// has something to send.
func (p Prefix) RequestConsumer(source string) string { return source + "-request" }

// SweeperConsumer is the durable consumer of the advisories, on [Prefix.AdvisoryStream].
func (p Prefix) SweeperConsumer() string { return "sweeper" }

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

// ReconcileConsumer is the durable consumer of [Prefix.ReconcileStream] that all workers pull
// logs from.
func (p Prefix) ReconcileConsumer() string { return "reconcile" }

// BodyName is the name of a claim check's object: below its source, since a worker accepts no
// other.
func BodyName(source, name string) string { return source + "/" + name }

// ReplyBodyName is the name of the object with the body of the reply to a message, and DeadBodyName of
// that with the body of its dead letter, where they are too large for a message. A repeated settlement
// has the same name. The name of a sealed reply's body ends in what tells its envelope from others.
func (p Prefix) ReplyBodyName(source, id string, sequence uint64) string {
	return BodyName(source, "reply-"+p.DeadToken(id, sequence))
}

// DeadBodyName belongs to ReplyBodyName.
func (p Prefix) DeadBodyName(source, id string, sequence uint64) string {
	return BodyName(source, "dlq-"+p.DeadToken(id, sequence))
}
