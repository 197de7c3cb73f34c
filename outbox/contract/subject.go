package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

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

// ReconcileSubject is where a log of a source is put to be followed.
func (p Prefix) ReconcileSubject(source string) string { return p.String() + ".reconcile." + source }

// EventSubject is where an event about a message of a source is published: one token says
// what happened, such as "failed".
func (p Prefix) EventSubject(source, what string) string {
	return p.String() + ".event." + source + "." + what
}

// SendSubject is where an unordered SEND is published.
func (p Prefix) SendSubject(source string) string {
	return p.String() + ".out." + source + ".send"
}

// OrderedSubject is where a SEND is published that stays in order with the
// others of the same token; see outbox.OrderToken.
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
func (p Prefix) DeadSubject(source, settlement, token string) string {
	return p.String() + ".dlq." + source + "." + settlement + "." + token
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

// ReplySource is the source to whose messages a durable reply subject belongs; "" for another subject.
func (p Prefix) ReplySource(subject string) string {
	rest, ok := strings.CutPrefix(subject, p.String()+".reply.")
	source, _, more := strings.Cut(rest, ".")
	if !ok || !more {
		return ""
	}
	return source
}

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

// ParseOut takes a subject of the work queue apart. The token is that of the order in
// LaneOrdered, "" in the others; a fourth part that is no token is an error, since no order
// can be kept by it. Source and lane are returned also with an error, as far as the subject has
// valid ones: a lane says that a worker reads it. It allocates only on an error.
func (p Prefix) ParseOut(subject string) (source string, lane Lane, token string, err error) {
	source, rest, ok := p.cut(subject, ".out.")
	if !ok {
		return "", "", "", &Error{Part: "subject", Reason: "is not one of " + p.String() + ".out.<source>"}
	}
	lane, token, ok = parseLane(rest)
	switch {
	case !ok:
		return source, "", "", &Error{Part: "subject", Reason: "has no lane that a worker serves"}
	case lane == LaneOrdered && !wire.IsOrderToken(token):
		return source, lane, "", &Error{Part: "subject", Reason: "does not end in an order token, 32 lower-case hex digits"}
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
