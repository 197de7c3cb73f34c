package redox

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// dataModel makes the request that posts a message to the Data Model API: guards, the upload
// of large files if that is wanted, the missing Source ID. SENDs and queries go to the same
// path (Redox, Data Model API).
func (c *Client) dataModel(ctx context.Context, out *call, m *outbox.Message) *Error {
	s := out.sender
	e, err := c.guard(s, m)
	if err != nil {
		return err
	}
	out.method, out.url, out.sourceID = http.MethodPost, c.targets.endpoint, s.idHeader
	if id, other := s.other(e); other {
		out.sourceID = []string{id}
	}
	if c.mayUpload(m) {
		edits, err := c.offload(ctx, out, m, e.dataModel)
		if err != nil {
			return err
		}
		if s.ID != "" && e.gap.kind != gapNone {
			edits = append(edits, edit{e.gap.start, e.gap.end, s.insert[e.gap.kind]})
		}
		out.body = edited(m.Body, edits)
	} else {
		out.body = s.identified(m.Body, e.gap)
	}
	if size := out.body.Size(); c.cfg.MaxBody >= 0 && size > c.cfg.MaxBody {
		return tooLarge("body", size, c.cfg.MaxBody)
	}
	if out.plain = c.plain(ctx, s, m, out.sourceID); !out.plain {
		out.header, err = c.header(ctx, m, out.sourceID, jsonOnly)
	}
	return err
}

// guard refuses what Redox would refuse, before a request of the quota is spent on it.
// What breaks the contract comes first, then what the source's configuration refuses.
func (c *Client) guard(s *sender, m *outbox.Message) (envelope, *Error) {
	if size, limit := int64(len(m.Body)), c.maxMessage(); limit >= 0 && size > limit {
		return envelope{}, tooLarge("body", size, limit)
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
	case e.destinations > 1 && m.Lane == contract.LaneRequest:
		return e, poison("Meta.Destinations names " + strconv.Itoa(e.destinations) + " destinations; a request has exactly one")
	case e.test && s.Environment == envProduction:
		return e, guarded("Meta.Test is true and the source is a production source")
	}
	switch id, other := s.other(e); {
	case !other:
	case !s.AllowOtherSource:
		return e, guarded("Meta.Source.ID is not that of the source")
	case !jsonscan.IsIdentifier(id):
		return e, poison("Meta.Source.ID is not an identifier")
	}
	return e, nil
}

// identified is body with the source's ID in it. A source without an ID changes nothing.
func (s *sender) identified(body []byte, g gap) httpwire.Pieces {
	if s.ID == "" || g.kind == gapNone {
		return httpwire.Pieces{body}
	}
	return s.insert.fill(body, g)
}

// other returns the Source ID that the message brings, if it is not the source's. UUIDs
// may be written in either case. A source without an ID cannot tell.
func (s *sender) other(e envelope) (id string, other bool) {
	if s.ID == "" || e.sourceID == nil || jsonscan.Is(e.sourceID, s.ID) {
		return "", false
	}
	id = jsonscan.Unquote(e.sourceID)
	return id, !strings.EqualFold(id, s.ID)
}

func tooLarge(what string, size, limit int64) *Error {
	return poison("the " + what + " has " + strconv.FormatInt(size, 10) + " bytes; the limit is " + strconv.FormatInt(limit, 10))
}

// fill is body with the missing Source ID.
func (in *insertions) fill(body []byte, g gap) httpwire.Pieces { return fill(body, g, in[g.kind]) }

// fill is body with the text that was missing.
func fill(body []byte, g gap, text []byte) httpwire.Pieces {
	return httpwire.Pieces{body[:g.start], text, body[g.end:]}
}
