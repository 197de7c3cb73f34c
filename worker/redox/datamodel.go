package redox

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
)

// deliverDataModel posts a message to the Data Model API: guards, the missing Source ID,
// one request. SENDs and queries go to the same path (Redox, Data Model API).
func (c *Client) deliverDataModel(ctx context.Context, s *sender, m *outbox.Message) (outbox.Answer, *Error) {
	e, err := c.guard(s, m)
	if err != nil {
		return outbox.Answer{}, err
	}
	out := call{
		sender:   s,
		message:  m.ID,
		request:  m.Lane == outbox.LaneRequest,
		method:   http.MethodPost,
		url:      c.targets.endpoint,
		sourceID: s.idHeader,
		body:     s.body(m.Body, e.gap),
	}
	if id, other := s.other(e); other {
		out.sourceID = []string{id}
	}
	if size := int64(len(out.body)); c.cfg.MaxBody >= 0 && size > c.cfg.MaxBody {
		return outbox.Answer{}, c.tooLarge(size)
	}
	if out.header, err = c.header(ctx, m, out.sourceID); err != nil {
		return outbox.Answer{}, err
	}
	r, err := c.exchange(ctx, &out)
	if err != nil {
		return r.answer(), err
	}
	return c.classify(&out, r)
}

// guard refuses what Redox would refuse, before a request of the quota is spent on it.
// What breaks the contract comes first, then what the source's configuration refuses.
func (c *Client) guard(s *sender, m *outbox.Message) (envelope, *Error) {
	if size := int64(len(m.Body)); c.cfg.MaxBody >= 0 && size > c.cfg.MaxBody {
		return envelope{}, c.tooLarge(size)
	}
	e, err := readEnvelope(m.Body)
	if err != nil {
		return e, err
	}
	switch {
	case e.dataModel == nil:
		return e, poison("Meta.DataModel is missing")
	case e.eventType == nil:
		return e, poison("Meta.EventType is missing")
	case e.destinations == 0:
		return e, poison("Meta.Destinations names no destination")
	case e.destinations > 1 && m.Lane == outbox.LaneRequest:
		return e, poison("Meta.Destinations names " + strconv.Itoa(e.destinations) + " destinations; a request has exactly one")
	case e.test && s.Environment == envProduction:
		return e, guarded("a guard on its content: Meta.Test is true and the source is a production source")
	}
	switch id, other := s.other(e); {
	case !other:
	case !s.AllowOtherSource:
		return e, guarded("a guard on its content: Meta.Source.ID is not that of the source")
	case !isIdentifier(id):
		return e, poison("Meta.Source.ID is not an identifier")
	}
	return e, nil
}

// body returns the message with the source's ID in it. A source without an ID changes
// nothing.
func (s *sender) body(body []byte, g gap) []byte {
	if s.ID == "" {
		return body
	}
	return s.insert.fill(body, g)
}

// other returns the Source ID that the message brings, if it is not the source's. UUIDs
// may be written in either case. A source without an ID cannot tell.
func (s *sender) other(e envelope) (id string, other bool) {
	if s.ID == "" || e.sourceID == nil || is(e.sourceID, s.ID) {
		return "", false
	}
	id = unquote(e.sourceID)
	return id, !strings.EqualFold(id, s.ID)
}

func (c *Client) tooLarge(size int64) *Error {
	return poison("the body has " + strconv.FormatInt(size, 10) + " bytes; the limit is " + strconv.FormatInt(c.cfg.MaxBody, 10))
}
