package redox

import (
	"context"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// MessageScopes returns the pause scopes of a message besides those of its source: the host that it
// goes to, where that is not the API's, and its destination, "dest:<source>:<id>", where that is part
// of the answer: the slug of a FHIR path, and the destination of a data-model REQUEST. SENDs are
// answered by Redox, which queues them. It reads the body of such a REQUEST. It is safe for
// concurrent use.
func (c *Client) MessageScopes(m outbox.Message) []string {
	var scopes []string
	if host := c.HostScope(m); host != c.targets.apiScope {
		scopes = append(scopes, host)
	}
	if id := c.targets.destination(&m); id != "" {
		scopes = append(scopes, "dest:"+m.Source+":"+id)
	}
	return scopes
}

// Deliver makes one attempt to deliver m. It blocks until Redox's answer was read, for at
// most Config.Timeout per request: one, or two when the first token was refused, and as
// many before it for each file that [Offload] uploads. It reads m.Body until it returns,
// and net/http possibly for a moment longer: do not reuse it.
//
// A nil error means that Redox took the message; otherwise the error is an [*Error], and
// the Answer still holds what Redox answered, if it did. When ctx ends, the error wraps
// [context.Cause] and says whether the request had been written.
func (c *Client) Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
	out := call{asked: c.targets.asked()}
	err := c.deliver(ctx, &out, &m)
	if out.asked != nil {
		out.reply.Hosts = out.asked.hosts
	}
	if err != nil { // not returned as is: a nil *Error is not a nil error
		return out.reply.Answer, err
	}
	return out.reply.Answer, nil
}

// deliver leaves the answer in out. It takes pointers, as all below it do: what is passed by
// value is part of the stack of each message in flight, once for every call on the way down.
func (c *Client) deliver(ctx context.Context, out *call, m *outbox.Message) *Error {
	if err := c.prepare(ctx, out, m); err != nil {
		return err
	}
	if err := c.exchange(ctx, out); err != nil {
		return err
	}
	return c.classify(ctx, out)
}

// prepare has the file of the kind make the request. Nothing of the message itself is sent.
func (c *Client) prepare(ctx context.Context, out *call, m *outbox.Message) *Error {
	s := c.sender(m.Source)
	if s == nil {
		return &Error{
			class: ClassNotSent, match: ErrUnknownSource,
			detail: "the source is not configured here; add it, or leave its messages to another worker",
		}
	}
	out.sender, out.message, out.deadline, out.request = s, m.ID, m.Deadline, m.Lane == contract.LaneRequest
	out.replies = out.request || m.ReplyTo != ""
	kind := m.Kind
	if kind == "" {
		kind = outbox.KindDataModel
	}
	out.kind = kind
	switch kind {
	case outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform:
		if err := s.guardKind(kind); err != nil {
			return err
		}
	}
	if isText(m) {
		m.Body = contract.WithoutMark(m.Body)
	}
	switch kind {
	case outbox.KindDataModel:
		return c.dataModel(ctx, out, m)
	case outbox.KindFHIR:
		return c.fhir(ctx, out, m)
	case outbox.KindFile:
		return c.file(ctx, out, m)
	case outbox.KindPlatform:
		return c.platform(ctx, out, m)
	default:
		return poison("the kind is not data-model, fhir, file or platform")
	}
}
