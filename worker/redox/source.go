package redox

import "github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"

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
		return wrongKind(s, "Meta.Source", "an object or null")
	}
	if err := s.Enter(); err != nil {
		return notJSON(s, err)
	}
	e.gap = gap{start: s.Offset(), end: s.Offset(), kind: gapEmptySource}
	for {
		name, ok, err := s.Member()
		if err != nil {
			return notJSON(s, err)
		}
		if !ok {
			return nil
		}
		if !jsonscan.Is(name, "ID") {
			if e.gap.kind == gapEmptySource {
				e.gap.kind = gapNoID
			}
			if err := s.Skip(); err != nil {
				return notJSON(s, err)
			}
			continue
		}
		if broken := e.readSourceID(s); broken != nil {
			return broken
		}
	}
}

func (e *envelope) readSourceID(s *jsonscan.Scanner) *Error {
	if broken := e.once(memberSourceID, "Meta.Source.ID"); broken != nil {
		return broken
	}
	if kind := s.Kind(); kind != '"' && kind != 'n' {
		return wrongKind(s, "Meta.Source.ID", "a string or null")
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
		if err := s.Skip(); err != nil {
			return notJSON(s, err)
		}
		return nil
	case '[':
	default:
		return wrongKind(s, "Meta.Destinations", "an array")
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
