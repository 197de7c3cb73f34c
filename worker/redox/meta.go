package redox

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
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
	e, err := readEnvelope(contract.WithoutMark(body))
	if err != nil {
		return Meta{}, err
	}
	return Meta{
		DataModel:    jsonscan.Unquote(e.dataModel),
		EventType:    jsonscan.Unquote(e.eventType),
		SourceID:     jsonscan.Unquote(e.sourceID),
		Test:         e.test,
		Destinations: e.destinations,
	}, nil
}

// ReadEvent returns Meta.DataModel and Meta.EventType of a message whose body may be broken, or break
// the contract, as far as they can be read; empty where they cannot, or are absent. It reads no further
// than Meta. It serves as ReadEvent of a store of dead letters. It is safe for concurrent use.
func ReadEvent(body []byte) (dataModel, eventType string) {
	s := jsonscan.Scan(contract.WithoutMark(body), jsonscan.LenientJSON...)
	defer s.Release()
	if s.Kind() != '{' || s.Enter() != nil {
		return "", ""
	}
	var e envelope
	for {
		name, more, err := s.Member()
		if err != nil || !more {
			return "", ""
		}
		if jsonscan.Is(name, "Meta") {
			_ = e.readMeta(s)
			return jsonscan.Unquote(e.dataModel), jsonscan.Unquote(e.eventType)
		}
		if s.Skip() != nil {
			return "", ""
		}
	}
}

// envelope is what one pass over a message finds. The values alias the body.
type envelope struct {
	dataModel, eventType, sourceID jsontext.Value // JSON strings; nil when absent or null
	destinationID                  jsontext.Value // of the first destination that has one
	test                           bool
	destinations                   int
	gap                            gap
	seen                           member
	breach                         *Error // the first breach of the contract in a text that is JSON
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

// breaks notes how the message breaks the contract, if nothing did before.
func (e *envelope) breaks(how string) {
	if e.breach == nil {
		e.breach = poison(how)
	}
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
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	var e envelope
	if broken := checkText(body); broken != nil {
		return e, broken
	}
	if kind := s.Kind(); kind != '{' {
		if kind == 0 {
			return e, notJSON(s, s.Enter())
		}
		if err := s.Skip(); err != nil {
			return e, notJSON(s, err)
		}
		return e, poison(notAnObject)
	}
	broken := e.readTop(s)
	if e.breach != nil { // it came first
		return e, e.breach
	}
	return e, broken
}

func (e *envelope) readTop(s *jsonscan.Scanner) *Error {
	if err := s.Enter(); err != nil {
		return notJSON(s, err)
	}
	broken := eachMember(s, func(name jsontext.Value) *Error {
		if jsonscan.Is(name, "Meta") {
			return e.once(s, memberMeta, "Meta", e.readMeta)
		}
		return skip(s)
	})
	if broken != nil {
		return broken
	}
	if err := s.End(); err != nil {
		return notJSON(s, err)
	}
	if e.seen&memberMeta == 0 {
		return poison("there is no Meta")
	}
	return nil
}

// once reads the value of a member. The second of its name breaks the contract, and is passed over.
func (e *envelope) once(s *jsonscan.Scanner, m member, name string, read func(*jsonscan.Scanner) *Error) *Error {
	if e.first(m) {
		return read(s)
	}
	e.breaks(name + " is there twice")
	return skip(s)
}

func (e *envelope) readMeta(s *jsonscan.Scanner) *Error {
	if s.Kind() != '{' {
		return e.wrongKind(s, "Meta", "an object")
	}
	if err := s.Enter(); err != nil {
		return notJSON(s, err)
	}
	e.gap = gap{start: s.Offset(), end: s.Offset(), kind: gapEmptyMeta}
	return eachMember(s, func(name jsontext.Value) *Error {
		if e.gap.kind == gapEmptyMeta {
			e.gap.kind = gapNoSource
		}
		return e.readMetaMember(s, name)
	})
}

// eachMember reads the members of an object that was entered, up to its end.
func eachMember(s *jsonscan.Scanner, read func(name jsontext.Value) *Error) *Error {
	for {
		name, ok, err := s.Member()
		if err != nil {
			return notJSON(s, err)
		}
		if !ok {
			return nil
		}
		if broken := read(name); broken != nil {
			return broken
		}
	}
}

// skip passes over a value.
func skip(s *jsonscan.Scanner) *Error {
	if err := s.Skip(); err != nil {
		return notJSON(s, err)
	}
	return nil
}

func (e *envelope) readMetaMember(s *jsonscan.Scanner, name jsontext.Value) *Error {
	switch {
	case jsonscan.Is(name, "DataModel"):
		return e.once(s, memberDataModel, "Meta.DataModel", func(s *jsonscan.Scanner) *Error { return e.readText(s, "Meta.DataModel", &e.dataModel) })
	case jsonscan.Is(name, "EventType"):
		return e.once(s, memberEventType, "Meta.EventType", func(s *jsonscan.Scanner) *Error { return e.readText(s, "Meta.EventType", &e.eventType) })
	case jsonscan.Is(name, "Test"):
		return e.once(s, memberTest, "Meta.Test", e.readTest)
	case jsonscan.Is(name, "Source"):
		return e.once(s, memberSource, "Meta.Source", e.readSource)
	case jsonscan.Is(name, "Destinations"):
		return e.once(s, memberDestinations, "Meta.Destinations", e.readDestinations)
	}
	return skip(s)
}

func (e *envelope) readTest(s *jsonscan.Scanner) *Error {
	switch s.Kind() {
	case 't':
		e.test = true
	case 'f', 'n':
	default:
		return e.wrongKind(s, "Meta.Test", "true, false or null")
	}
	return skip(s)
}

// readText reads a string, or null, which is as good as absent, into text.
func (e *envelope) readText(s *jsonscan.Scanner, name string, text *jsontext.Value) *Error {
	kind := s.Kind()
	if kind != '"' && kind != 'n' {
		return e.wrongKind(s, name, "a string")
	}
	v, err := s.Read()
	if err != nil {
		return notJSON(s, err)
	}
	if kind == '"' && len(v) > len(`""`) {
		*text = v
	}
	return nil
}

// wrongKind passes over a value that should have been something else, which breaks the contract.
func (e *envelope) wrongKind(s *jsonscan.Scanner, name, want string) *Error {
	if broken := skip(s); broken != nil {
		return broken
	}
	e.breaks(name + " is not " + want)
	return nil
}

// readSource finds the Source ID, or where it is missing.
func (e *envelope) readSource(s *jsonscan.Scanner) *Error {
	switch s.Kind() {
	case 'n':
		_, start, end, err := s.Value()
		if err != nil {
			return notJSON(s, err)
		}
		e.gap = gap{start, end, gapNullSource}
		return nil
	case '{':
	default:
		return e.wrongKind(s, "Meta.Source", "an object or null")
	}
	if err := s.Enter(); err != nil {
		return notJSON(s, err)
	}
	e.gap = gap{start: s.Offset(), end: s.Offset(), kind: gapEmptySource}
	return eachMember(s, func(name jsontext.Value) *Error {
		if jsonscan.Is(name, "ID") {
			return e.once(s, memberSourceID, "Meta.Source.ID", e.readSourceID)
		}
		if e.gap.kind == gapEmptySource {
			e.gap.kind = gapNoID
		}
		return skip(s)
	})
}

func (e *envelope) readSourceID(s *jsonscan.Scanner) *Error {
	if kind := s.Kind(); kind != '"' && kind != 'n' {
		return e.wrongKind(s, "Meta.Source.ID", "a string or null")
	}
	v, start, end, err := s.Value()
	if err != nil {
		return notJSON(s, err)
	}
	if len(v) > len(`""`) && v.Kind() == '"' {
		e.sourceID, e.gap = v, gap{}
	} else {
		e.gap = gap{start, end, gapEmptyID}
	}
	return nil
}

// readDestinations counts the elements that name a destination.
func (e *envelope) readDestinations(s *jsonscan.Scanner) *Error {
	switch s.Kind() {
	case 'n':
		return skip(s)
	case '[':
	default:
		return e.wrongKind(s, "Meta.Destinations", "an array")
	}
	if err := s.Enter(); err != nil {
		return notJSON(s, err)
	}
	for {
		ok, err := s.Element()
		if err != nil {
			return notJSON(s, err)
		}
		if !ok {
			return nil
		}
		named, err := e.readDestination(s)
		if err != nil {
			return notJSON(s, err)
		}
		if named {
			e.destinations++
		}
	}
}

// readDestination reads one destination and reports whether it has an ID or a name.
func (e *envelope) readDestination(s *jsonscan.Scanner) (named bool, err error) {
	if s.Kind() != '{' {
		return false, s.Skip()
	}
	if err := s.Enter(); err != nil {
		return false, err
	}
	for {
		name, ok, err := s.Member()
		if err != nil || !ok {
			return named, err
		}
		v, err := s.Read()
		if err != nil {
			return false, err
		}
		if v.Kind() != '"' || len(v) == len(`""`) {
			continue
		}
		id := jsonscan.Is(name, "ID")
		if named = named || id || jsonscan.Is(name, "Name"); id && e.destinationID == nil {
			e.destinationID = v
		}
	}
}

// gapKind says how the Source ID is missing.
type gapKind uint8

const (
	gapNone        gapKind = iota
	gapEmptyMeta           // Meta is {}
	gapNoSource            // Meta has other members only
	gapNullSource          // Meta.Source is null
	gapEmptySource         // Meta.Source is {}
	gapNoID                // Meta.Source has other members only
	gapEmptyID             // Meta.Source.ID is null or ""
)
