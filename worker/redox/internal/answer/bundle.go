package answer

import (
	"github.com/go-json-experiment/json/jsontext"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// readEntry reads one entry of a Bundle in an answer: it fails when the entry holds an
// OperationOutcome with an error, as its resource or as the outcome of its request, or
// when the status of its request is one of failure (FHIR R4, Bundle).
func (o *outcome) readEntry(s *jsonscan.Scanner) error {
	return s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "resource"):
			return o.readResource(s)
		case jsonscan.Is(name, "response"):
			return s.Each(func(name jsontext.Value) error {
				switch {
				case jsonscan.Is(name, "outcome"):
					return o.readResource(s)
				case jsonscan.Is(name, "status"):
					v, err := s.Read()
					if text := jsonscan.Scalar(v); len(text) >= 3 && (text[0] == '4' || text[0] == '5') {
						o.entryFailed = true
					}
					return err
				}
				return s.Skip()
			})
		}
		return s.Skip()
	})
}

// readResource looks at a resource inside an answer.
func (o *outcome) readResource(s *jsonscan.Scanner) error {
	var inner outcome
	err := s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "resourceType"):
			v, err := s.Read()
			inner.is = v.Kind() == '"' && jsonscan.Is(v, "OperationOutcome")
			return err
		case jsonscan.Is(name, "issue"):
			return s.List(func() error { return inner.readIssue(s) })
		}
		return s.Skip()
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
