package redox

import (
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// messageBundle is what one pass over a message Bundle finds. Redox takes the Source ID of a writeback
// from MessageHeader.source.endpoint (Redox, Source ID).
type messageBundle struct {
	kind    string   // Bundle.type; "" when it is absent
	senders []string // source.endpoint of every MessageHeader, where it is a text
	first   messageHeader
	leads   bool // the first MessageHeader is the first entry
}

// messageHeader is where one resource that is a MessageHeader lacks its sender.
type messageHeader struct {
	is      bool
	senders []string
	given   bool // there is an endpoint, whatever it is
	twice   bool // source or its endpoint is there twice
	gap     gap
}

// readWriteback reads the senders of a message and refuses another source's, of a name that is
// there twice and of several MessageHeaders too: nobody knows which counts for Redox. An endpoint
// that is no Source ID is left alone. Content-Type makes no difference: Redox reads a message whatever
// it is called. What is no JSON is found elsewhere.
func (s *sender) readWriteback(out *call, m *outbox.Message) (messageBundle, *Error) {
	if len(m.Body) == 0 || s.ID == "" || isSearch(m) {
		return messageBundle{}, nil
	}
	w := scanWriteback(contract.WithoutMark(m.Body))
	for _, endpoint := range w.senders {
		id := endpoint
		if n := len(uuidURN); len(id) > n && strings.EqualFold(id[:n], uuidURN) {
			id = id[n:]
		}
		switch {
		case !isUUID(id) || strings.EqualFold(id, s.ID):
		case !s.AllowOtherSource:
			return w, guarded("MessageHeader.source.endpoint is not the Source ID of the source")
		default:
			out.sourceID = []string{id} // header and body agree
		}
	}
	return w, nil
}

// uuidURN begins a UUID as a URN; upper and lower case do not matter (RFC 8141, section 3.1).
const uuidURN = "urn:uuid:"

// identify puts the Source ID into the MessageHeader of a writeback that has no sender: with one
// edit of the body, or none. What does not say that it is JSON stays as it is.
func (s *sender) identify(m *outbox.Message, w messageBundle) ([]edit, *Error) {
	switch h := &w.first; {
	case !isText(m) || !h.is || h.given || !(w.kind == "message" || w.kind == "" && w.leads) || !isOperation(m):
		return nil, nil
	case h.twice:
		return nil, poison("MessageHeader.source or its endpoint is there twice")
	case h.gap.kind == gapNone:
		return nil, nil // source is something else than an object, which is Redox's to refuse
	default:
		id := s.ID
		if isUUID(id) {
			id = uuidURN + id
		}
		return []edit{{h.gap.start, h.gap.end, insertion(h.gap.kind, "source", "endpoint", id)}}, nil
	}
}

// isOperation reports whether a message is posted to an operation, as writebacks are, and is not
// a Bundle that is itself to be kept.
func isOperation(m *outbox.Message) bool {
	return methodOf(m) == http.MethodPost && strings.HasPrefix(lastSegment(m.Path), "$")
}

// scanWriteback reads leniently, whatever the order of the members.
func scanWriteback(body []byte) (w messageBundle) {
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	_ = s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "type"):
			v, err := s.Read()
			w.kind = jsonscan.Scalar(v)
			return err
		case jsonscan.Is(name, "entry"):
			return w.readEntries(s)
		}
		return s.Skip()
	})
	return w
}

func (w *messageBundle) readEntries(s *jsonscan.Scanner) error {
	lead := true
	resource := func(name jsontext.Value) error {
		if !jsonscan.Is(name, "resource") {
			return s.Skip()
		}
		h, err := readMessageHeader(s)
		if h.is {
			w.senders = append(w.senders, h.senders...)
			if !w.first.is {
				w.first, w.leads = h, lead
			}
		}
		return err
	}
	return s.List(func() error {
		err := s.Each(resource)
		lead = false
		return err
	})
}

// readMessageHeader reads one resource. resourceType may stand behind source.
func readMessageHeader(s *jsonscan.Scanner) (h messageHeader, err error) {
	if s.Kind() != '{' {
		return h, s.Skip()
	}
	if err := s.Enter(); err != nil {
		return h, err
	}
	h.gap = gap{s.Offset(), s.Offset(), gapNoSource}
	for sources := 0; ; {
		name, ok, err := s.Member()
		switch {
		case err != nil || !ok:
			return h, err
		case jsonscan.Is(name, "resourceType"):
			var v jsontext.Value
			v, err = s.Read()
			h.is = h.is || v.Kind() == '"' && jsonscan.Is(v, "MessageHeader")
		case jsonscan.Is(name, "source"):
			sources++
			h.twice = h.twice || sources > 1
			err = h.readSource(s)
		default:
			err = s.Skip()
		}
		if err != nil {
			return h, err
		}
	}
}

// readSource reads the source of what may be a MessageHeader.
func (h *messageHeader) readSource(s *jsonscan.Scanner) error {
	switch s.Kind() {
	case '{':
	case 'n':
		_, start, end, err := s.Value()
		h.gap = gap{start, end, gapNullSource}
		return err
	default:
		h.gap = gap{}
		return s.Skip()
	}
	if err := s.Enter(); err != nil {
		return err
	}
	h.gap = gap{s.Offset(), s.Offset(), gapEmptySource}
	for endpoints := 0; ; {
		name, ok, err := s.Member()
		if err != nil || !ok {
			return err
		}
		v, start, end, err := s.Value()
		if err != nil {
			return err
		}
		switch {
		case jsonscan.Is(name, "endpoint"):
			endpoints++
			h.twice = h.twice || endpoints > 1
			h.readEndpoint(v, start, end)
		case h.gap.kind == gapEmptySource:
			h.gap.kind = gapNoID
		}
	}
}

func (h *messageHeader) readEndpoint(v jsontext.Value, start, end int) {
	if v.Kind() == 'n' || len(v) == len(`""`) && v.Kind() == '"' {
		h.gap = gap{start, end, gapEmptyID}
		return
	}
	h.given = true
	if v.Kind() == '"' {
		h.senders = append(h.senders, jsonscan.Unquote(v))
	}
}
