package redox

// readSource finds the Source ID, or where it is missing.
func (e *envelope) readSource(s *scanner) *Error {
	switch s.dec.PeekKind() {
	case 'n':
		_, start, end, err := s.value()
		if err != nil {
			return s.notJSON(err)
		}
		e.gap = gap{start, end, gapNullSource}
		return nil
	case '{':
	default:
		return s.wrongKind("Meta.Source", "an object or null")
	}
	if err := s.enter(); err != nil {
		return s.notJSON(err)
	}
	e.gap = gap{start: s.offset(), end: s.offset(), kind: gapEmptySource}
	for {
		name, ok, err := s.member()
		if err != nil {
			return s.notJSON(err)
		}
		if !ok {
			return nil
		}
		if !is(name, "ID") {
			if e.gap.kind == gapEmptySource {
				e.gap.kind = gapNoID
			}
			if err := s.skip(); err != nil {
				return s.notJSON(err)
			}
			continue
		}
		if broken := e.readSourceID(s); broken != nil {
			return broken
		}
	}
}

func (e *envelope) readSourceID(s *scanner) *Error {
	if broken := e.once(memberSourceID, "Meta.Source.ID"); broken != nil {
		return broken
	}
	if kind := s.dec.PeekKind(); kind != '"' && kind != 'n' {
		return s.wrongKind("Meta.Source.ID", "a string or null")
	}
	v, start, end, err := s.value()
	if err != nil {
		return s.notJSON(err)
	}
	if len(v) > len(`""`) && v.Kind() == '"' {
		e.sourceID, e.gap = v, gap{}
	} else {
		e.gap = gap{start, end, gapEmptyID}
	}
	return nil
}

// readDestinations counts the elements that name a destination.
func (e *envelope) readDestinations(s *scanner) *Error {
	switch s.dec.PeekKind() {
	case 'n':
		if err := s.skip(); err != nil {
			return s.notJSON(err)
		}
		return nil
	case '[':
	default:
		return s.wrongKind("Meta.Destinations", "an array")
	}
	if err := s.enter(); err != nil {
		return s.notJSON(err)
	}
	for {
		ok, err := s.element()
		if err != nil {
			return s.notJSON(err)
		}
		if !ok {
			return nil
		}
		named, err := e.readDestination(s)
		if err != nil {
			return s.notJSON(err)
		}
		if named {
			e.destinations++
		}
	}
}

// readDestination reads one destination and reports whether it has an ID or a name.
func (e *envelope) readDestination(s *scanner) (named bool, err error) {
	if s.dec.PeekKind() != '{' {
		return false, s.skip()
	}
	if err := s.enter(); err != nil {
		return false, err
	}
	for {
		name, ok, err := s.member()
		if err != nil || !ok {
			return named, err
		}
		v, err := s.dec.ReadValue()
		if err != nil {
			return false, err
		}
		if v.Kind() != '"' || len(v) == len(`""`) {
			continue
		}
		id := is(name, "ID")
		if named = named || id || is(name, "Name"); id && e.destinationID == nil {
			e.destinationID = v
		}
	}
}
