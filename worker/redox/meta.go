package redox

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox"
)

// Meta is what this package reads of a data-model message (Redox, Data models, Meta).
type Meta struct {
	DataModel string
	EventType string
	// SourceID is Meta.Source.ID; "" when it is absent, null or empty.
	SourceID string
	// Test is Meta.Test; false when it is absent or null.
	Test bool
	// Destinations counts the destinations that have an ID or a name.
	Destinations int
}

// ReadMeta reads the Meta of a data-model message in one pass over body, which it neither
// keeps nor changes. The error says what breaks the contract, is an [*Error] with Poison,
// and holds nothing of the body. A Meta without DataModel, EventType or destinations is
// no error here. It is safe for concurrent use.
func ReadMeta(body []byte) (Meta, error) {
	e, err := readEnvelope(outbox.WithoutMark(body))
	if err != nil {
		return Meta{}, err
	}
	return Meta{
		DataModel:    unquote(e.dataModel),
		EventType:    unquote(e.eventType),
		SourceID:     unquote(e.sourceID),
		Test:         e.test,
		Destinations: e.destinations,
	}, nil
}

// envelope is what one pass over a message finds. The values alias the body.
type envelope struct {
	dataModel, eventType, sourceID jsontext.Value // JSON strings; nil when absent or null
	destinationID                  jsontext.Value // of the first destination that has one
	test                           bool
	destinations                   int
	gap                            gap
	seen                           member
}

// gap is where the Source ID is missing: body[start:end] gives way to it.
type gap struct {
	start, end int
	kind       gapKind
}

// member is a set of the names this package acts on. One of them twice in an object
// leaves open which counts for Redox, and would be a way around the guards.
type member uint16

const (
	memberMeta member = 1 << iota
	memberDataModel
	memberEventType
	memberTest
	memberSource
	memberDestinations
	memberSourceID
)

// first marks m as seen. It fails when m had been seen before.
func (e *envelope) first(m member) bool {
	if e.seen&m != 0 {
		return false
	}
	e.seen |= m
	return true
}

// once is first, with the error for the second.
func (e *envelope) once(m member, name string) *Error {
	if !e.first(m) {
		return poison(name + " is there twice")
	}
	return nil
}

// readEnvelope reads a message that has no byte order mark.
func readEnvelope(body []byte) (envelope, *Error) {
	var e envelope
	if e.skim(body) {
		return e, nil
	}
	return decodeEnvelope(body)
}

func decodeEnvelope(body []byte) (envelope, *Error) {
	s := scan(body, lenientJSON...)
	defer s.release()
	var e envelope
	if broken := checkText(body); broken != nil {
		return e, broken
	}
	if kind := s.dec.PeekKind(); kind != '{' {
		if kind == 0 {
			return e, s.notJSON(s.enter())
		}
		if err := s.skip(); err != nil {
			return e, s.notJSON(err)
		}
		return e, poison(notAnObject)
	}
	return e, e.readTop(s)
}

func (e *envelope) readTop(s *scanner) *Error {
	if err := s.enter(); err != nil {
		return s.notJSON(err)
	}
	var broken *Error
	for {
		name, ok, err := s.member()
		if err != nil {
			return s.notJSON(err)
		}
		if !ok {
			break
		}
		if !is(name, "Meta") {
			if err := s.skip(); err != nil {
				return s.notJSON(err)
			}
			continue
		}
		if broken = e.once(memberMeta, "Meta"); broken == nil {
			broken = e.readMeta(s)
		}
		if broken != nil {
			return broken
		}
	}
	if err := s.end(); err != nil {
		return s.notJSON(err)
	}
	if e.seen&memberMeta == 0 {
		return poison("there is no Meta")
	}
	return nil
}

func (e *envelope) readMeta(s *scanner) *Error {
	if s.dec.PeekKind() != '{' {
		return s.wrongKind("Meta", "an object")
	}
	if err := s.enter(); err != nil {
		return s.notJSON(err)
	}
	e.gap = gap{start: s.offset(), end: s.offset(), kind: gapEmptyMeta}
	for {
		name, ok, err := s.member()
		if err != nil {
			return s.notJSON(err)
		}
		if !ok {
			return nil
		}
		if e.gap.kind == gapEmptyMeta {
			e.gap.kind = gapNoSource
		}
		if broken := e.readMetaMember(s, name); broken != nil {
			return broken
		}
	}
}

func (e *envelope) readMetaMember(s *scanner, name jsontext.Value) (broken *Error) {
	switch {
	case is(name, "DataModel"):
		if broken = e.once(memberDataModel, "Meta.DataModel"); broken == nil {
			e.dataModel, broken = s.text("Meta.DataModel")
		}
	case is(name, "EventType"):
		if broken = e.once(memberEventType, "Meta.EventType"); broken == nil {
			e.eventType, broken = s.text("Meta.EventType")
		}
	case is(name, "Test"):
		if broken = e.once(memberTest, "Meta.Test"); broken == nil {
			broken = e.readTest(s)
		}
	case is(name, "Source"):
		if broken = e.once(memberSource, "Meta.Source"); broken == nil {
			broken = e.readSource(s)
		}
	case is(name, "Destinations"):
		if broken = e.once(memberDestinations, "Meta.Destinations"); broken == nil {
			broken = e.readDestinations(s)
		}
	default:
		if err := s.skip(); err != nil {
			return s.notJSON(err)
		}
	}
	return broken
}

func (e *envelope) readTest(s *scanner) *Error {
	switch s.dec.PeekKind() {
	case 't':
		e.test = true
	case 'f', 'n':
	default:
		return s.wrongKind("Meta.Test", "true, false or null")
	}
	if err := s.skip(); err != nil {
		return s.notJSON(err)
	}
	return nil
}

// text reads a string, or null, which is as good as absent.
func (s *scanner) text(name string) (jsontext.Value, *Error) {
	kind := s.dec.PeekKind()
	if kind != '"' && kind != 'n' {
		return nil, s.wrongKind(name, "a string")
	}
	v, err := s.dec.ReadValue()
	if err != nil {
		return nil, s.notJSON(err)
	}
	if kind == 'n' || len(v) == len(`""`) {
		return nil, nil
	}
	return v, nil
}

// wrongKind reads a value that should have been something else.
func (s *scanner) wrongKind(name, want string) *Error {
	if err := s.skip(); err != nil {
		return s.notJSON(err)
	}
	return poison(name + " is not " + want)
}
