package answer

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

const (
	maxLogIDs = 32 // one per destination of a send
	maxRemote = 4  // types of Redox's errors that are told apart
)

// Findings are what an answer says about the fate of the message. They are read
// leniently: Redox may add fields at any time, and asks for tolerant readers.
type Findings struct {
	LogIDs       []string // Meta.Logs[].ID
	Failed       bool     // Meta.Errors, top-level Errors, or an OperationOutcome with an error
	Transmission bool     // one of the errors has Type transmission: the destination failed, not Redox
	remote       []string // "type/module" of the errors, identifiers only
	Broken       bool     // not one JSON text; what was found before that stands
}

// outcome collects the parts of an OperationOutcome, which may come in any order.
type outcome struct {
	is     bool
	failed bool
	codes  []string
	// the same of the entries of a Bundle, which need no OperationOutcome around them
	entryFailed bool
	entryCodes  []string
}

// Find reads an answer's body in one pass, without keeping it.
func Find(body []byte) Findings {
	var f Findings
	body = httpanswer.WithoutMark(body)
	if f.skim(body) {
		return f
	}
	return decodeFindings(body)
}

func decodeFindings(body []byte) Findings {
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	var f Findings
	f.read(s)
	return f
}

// read reads an answer from its start.
func (f *Findings) read(s *jsonscan.Scanner) {
	if s.Kind() != '{' {
		f.Broken = s.Skip() != nil || s.End() != nil
		return
	}
	var o outcome
	err := s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "Meta"):
			return f.readMeta(s)
		case jsonscan.Is(name, "Errors"):
			return f.readErrors(s)
		case jsonscan.Is(name, "resourceType"):
			v, err := s.Read()
			o.is = v.Kind() == '"' && jsonscan.Is(v, "OperationOutcome")
			return err
		case jsonscan.Is(name, "issue"):
			return s.List(func() error { return o.readIssue(s) })
		case jsonscan.Is(name, "entry"):
			return s.List(func() error { return o.readEntry(s) })
		}
		return s.Skip()
	})
	if err == nil {
		err = s.End()
	}
	f.Broken = err != nil
	f.judge(o)
}

// judge adds what the OperationOutcomes of an answer say.
func (f *Findings) judge(o outcome) {
	if o.is && o.failed {
		f.Failed = true
		for _, code := range o.codes {
			f.add(code)
		}
	}
	if o.entryFailed {
		f.Failed = true
		for _, code := range o.entryCodes {
			f.add(code)
		}
	}
}

func (f *Findings) readMeta(s *jsonscan.Scanner) error {
	if s.Kind() != '{' {
		return s.Skip()
	}
	return s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "Logs"):
			return s.List(func() error { return f.readLog(s) })
		case jsonscan.Is(name, "Errors"):
			return f.readErrors(s)
		}
		return s.Skip()
	})
}

func (f *Findings) readLog(s *jsonscan.Scanner) error {
	return s.Each(func(name jsontext.Value) error {
		v, err := s.Read()
		if err != nil || !jsonscan.Is(name, "ID") {
			return err
		}
		f.addLog(jsonscan.Scalar(v))
		return nil
	})
}

func (f *Findings) addLog(id string) {
	if jsonscan.IsIdentifier(id) && len(f.LogIDs) < maxLogIDs {
		f.LogIDs = append(f.LogIDs, id)
	}
}

// readErrors reads an Errors member. Redox documents an array of objects; anything else
// that is not empty counts as an error too, as a success must not be guessed.
func (f *Findings) readErrors(s *jsonscan.Scanner) error {
	if s.Kind() != '[' {
		v, err := s.Read()
		switch text := string(v); {
		case text == "", text == "null", text == "false", text == `""`, text == "0":
		case v.Kind() == '{' && strings.Trim(text[1:], " \t\r\n") == "}":
		default:
			f.Failed = true
		}
		return err
	}
	if err := s.Enter(); err != nil {
		return err
	}
	for {
		ok, err := s.Element()
		if err != nil || !ok {
			return err
		}
		f.Failed = true
		if s.Kind() != '{' {
			err = s.Skip()
		} else {
			err = f.readError(s)
		}
		if err != nil {
			return err
		}
	}
}

// readError takes Type and Module of one error. Its Text may quote the message and is
// left alone.
func (f *Findings) readError(s *jsonscan.Scanner) error {
	var kind, module string
	err := s.Each(func(name jsontext.Value) error {
		v, err := s.Read()
		if err != nil || v.Kind() != '"' {
			return err
		}
		switch {
		case jsonscan.Is(name, "Type"):
			kind = jsonscan.Unquote(v)
		case jsonscan.Is(name, "Module"):
			module = jsonscan.Unquote(v)
		}
		return nil
	})
	f.Transmission = f.Transmission || kind == "transmission"
	if !jsonscan.IsIdentifier(kind) {
		kind = ""
	}
	if jsonscan.IsIdentifier(module) {
		kind += "/" + module
	}
	f.add(kind)
	return err
}

func (f *Findings) add(remote string) {
	if remote != "" && len(f.remote) < maxRemote && !slices.Contains(f.remote, remote) {
		f.remote = append(f.remote, remote)
	}
}

// RemoteText is what there is of Remote in one line.
func (f *Findings) RemoteText() string { return strings.Join(f.remote, ", ") }

// readIssue takes severity and code of one issue (FHIR R4, OperationOutcome).
func (o *outcome) readIssue(s *jsonscan.Scanner) error {
	var failed bool
	var code string
	err := s.Each(func(name jsontext.Value) error {
		v, err := s.Read()
		if err != nil || v.Kind() != '"' {
			return err
		}
		switch {
		case jsonscan.Is(name, "severity"):
			failed = jsonscan.Is(v, "error") || jsonscan.Is(v, "fatal")
		case jsonscan.Is(name, "code"):
			code = jsonscan.Unquote(v)
		}
		return nil
	})
	if failed {
		o.failed = true
		if jsonscan.IsIdentifier(code) && len(o.codes) < maxRemote {
			o.codes = append(o.codes, code)
		}
	}
	return err
}
