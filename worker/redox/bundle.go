package redox

import "github.com/go-json-experiment/json/jsontext"

// messageSenders are the source.endpoint of every MessageHeader in a message Bundle. There
// should be one; of several, or of a name that is there twice, nobody knows which counts for
// Redox. It is read leniently: what is no JSON is found elsewhere.
func messageSenders(body []byte) []string {
	s := scan(body, lenientJSON...)
	defer s.release()
	var all []string
	_ = s.each(func(name jsontext.Value) error {
		if !is(name, "entry") {
			return s.skip()
		}
		return s.list(func() error {
			return s.each(func(name jsontext.Value) error {
				if !is(name, "resource") {
					return s.skip()
				}
				found, err := readSenders(s)
				all = append(all, found...)
				return err
			})
		})
	})
	return all
}

// readSenders reads one resource. resourceType may stand behind source.
func readSenders(s *scanner) (endpoints []string, err error) {
	var header bool
	err = s.each(func(name jsontext.Value) error {
		switch {
		case is(name, "resourceType"):
			v, err := s.dec.ReadValue()
			header = header || v.Kind() == '"' && is(v, "MessageHeader")
			return err
		case is(name, "source"):
			return s.each(func(name jsontext.Value) error {
				v, err := s.dec.ReadValue()
				if is(name, "endpoint") && v.Kind() == '"' {
					endpoints = append(endpoints, unquote(v))
				}
				return err
			})
		}
		return s.skip()
	})
	if !header {
		endpoints = nil
	}
	return endpoints, err
}

// readEntry reads one entry of a Bundle in an answer: it fails when the entry holds an
// OperationOutcome with an error, as its resource or as the outcome of its request, or
// when the status of its request is one of failure (FHIR R4, Bundle).
func (o *outcome) readEntry(s *scanner) error {
	return s.each(func(name jsontext.Value) error {
		switch {
		case is(name, "resource"):
			return o.readResource(s)
		case is(name, "response"):
			return s.each(func(name jsontext.Value) error {
				switch {
				case is(name, "outcome"):
					return o.readResource(s)
				case is(name, "status"):
					v, err := s.dec.ReadValue()
					if text := scalar(v); len(text) >= 3 && (text[0] == '4' || text[0] == '5') {
						o.entryFailed = true
					}
					return err
				}
				return s.skip()
			})
		}
		return s.skip()
	})
}

// readResource looks at a resource inside an answer.
func (o *outcome) readResource(s *scanner) error {
	var inner outcome
	err := s.each(func(name jsontext.Value) error {
		switch {
		case is(name, "resourceType"):
			v, err := s.dec.ReadValue()
			inner.is = v.Kind() == '"' && is(v, "OperationOutcome")
			return err
		case is(name, "issue"):
			return s.list(func() error { return inner.readIssue(s) })
		}
		return s.skip()
	})
	if inner.is && inner.failed {
		o.entryFailed = true
		for _, code := range inner.codes {
			if len(o.entryCodes) < maxRemote {
				o.entryCodes = append(o.entryCodes, code)
			}
		}
	}
	return err
}
