package redox

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
)

const (
	maxLogIDs = 32 // one per destination of a send
	maxRemote = 4  // types of Redox's errors that are told apart
)

// findings are what an answer says about the fate of the message. They are read
// leniently: Redox may add fields at any time, and asks for tolerant readers.
type findings struct {
	logIDs       []string // Meta.Logs[].ID
	failed       bool     // Meta.Errors, top-level Errors, or an OperationOutcome with an error
	transmission bool     // one of the errors has Type transmission: the destination failed, not Redox
	remote       []string // "type/module" of the errors, identifiers only
	broken       bool     // not one JSON text; what was found before that stands
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

// find reads an answer's body in one pass, without keeping it.
func find(body []byte) findings {
	var f findings
	body = httpanswer.WithoutMark(body)
	if f.skim(body) {
		return f
	}
	return decodeFindings(body)
}

func decodeFindings(body []byte) findings {
	s := scan(body, lenientJSON...)
	defer s.release()
	return s.findings()
}

// findings reads an answer from its start.
func (s *scanner) findings() findings {
	var f findings
	if s.dec.PeekKind() != '{' {
		f.broken = s.skip() != nil || s.end() != nil
		return f
	}
	var o outcome
	err := s.each(func(name jsontext.Value) error {
		switch {
		case is(name, "Meta"):
			return f.readMeta(s)
		case is(name, "Errors"):
			return f.readErrors(s)
		case is(name, "resourceType"):
			v, err := s.dec.ReadValue()
			o.is = v.Kind() == '"' && is(v, "OperationOutcome")
			return err
		case is(name, "issue"):
			return s.list(func() error { return o.readIssue(s) })
		case is(name, "entry"):
			return s.list(func() error { return o.readEntry(s) })
		}
		return s.skip()
	})
	if err == nil {
		err = s.end()
	}
	f.broken = err != nil
	f.judge(o)
	return f
}

// judge adds what the OperationOutcomes of an answer say.
func (f *findings) judge(o outcome) {
	if o.is && o.failed {
		f.failed = true
		for _, code := range o.codes {
			f.add(code)
		}
	}
	if o.entryFailed {
		f.failed = true
		for _, code := range o.entryCodes {
			f.add(code)
		}
	}
}

func (f *findings) readMeta(s *scanner) error {
	if s.dec.PeekKind() != '{' {
		return s.skip()
	}
	return s.each(func(name jsontext.Value) error {
		switch {
		case is(name, "Logs"):
			return s.list(func() error { return f.readLog(s) })
		case is(name, "Errors"):
			return f.readErrors(s)
		}
		return s.skip()
	})
}

func (f *findings) readLog(s *scanner) error {
	return s.each(func(name jsontext.Value) error {
		v, err := s.dec.ReadValue()
		if err != nil || !is(name, "ID") {
			return err
		}
		f.addLog(scalar(v))
		return nil
	})
}

func (f *findings) addLog(id string) {
	if isIdentifier(id) && len(f.logIDs) < maxLogIDs {
		f.logIDs = append(f.logIDs, id)
	}
}

// readErrors reads an Errors member. Redox documents an array of objects; anything else
// that is not empty counts as an error too, as a success must not be guessed.
func (f *findings) readErrors(s *scanner) error {
	if s.dec.PeekKind() != '[' {
		v, err := s.dec.ReadValue()
		switch text := string(v); {
		case text == "", text == "null", text == "false", text == `""`, text == "0":
		case v.Kind() == '{' && strings.Trim(text[1:], " \t\r\n") == "}":
		default:
			f.failed = true
		}
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	for {
		ok, err := s.element()
		if err != nil || !ok {
			return err
		}
		f.failed = true
		if s.dec.PeekKind() != '{' {
			err = s.skip()
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
func (f *findings) readError(s *scanner) error {
	var kind, module string
	err := s.each(func(name jsontext.Value) error {
		v, err := s.dec.ReadValue()
		if err != nil || v.Kind() != '"' {
			return err
		}
		switch {
		case is(name, "Type"):
			kind = unquote(v)
		case is(name, "Module"):
			module = unquote(v)
		}
		return nil
	})
	f.transmission = f.transmission || kind == "transmission"
	if !isIdentifier(kind) {
		kind = ""
	}
	if isIdentifier(module) {
		kind += "/" + module
	}
	f.add(kind)
	return err
}

func (f *findings) add(remote string) {
	if remote != "" && len(f.remote) < maxRemote && !slices.Contains(f.remote, remote) {
		f.remote = append(f.remote, remote)
	}
}

func (f *findings) remoteText() string { return strings.Join(f.remote, ", ") }

// readIssue takes severity and code of one issue (FHIR R4, OperationOutcome).
func (o *outcome) readIssue(s *scanner) error {
	var failed bool
	var code string
	err := s.each(func(name jsontext.Value) error {
		v, err := s.dec.ReadValue()
		if err != nil || v.Kind() != '"' {
			return err
		}
		switch {
		case is(name, "severity"):
			failed = is(v, "error") || is(v, "fatal")
		case is(name, "code"):
			code = unquote(v)
		}
		return nil
	})
	if failed {
		o.failed = true
		if isIdentifier(code) && len(o.codes) < maxRemote {
			o.codes = append(o.codes, code)
		}
	}
	return err
}

// each reads an object and calls read for each of its members, which must read the value.
// A value that is no object is read and passed over.
func (s *scanner) each(read func(name jsontext.Value) error) error {
	if s.dec.PeekKind() != '{' {
		return s.skip()
	}
	if err := s.enter(); err != nil {
		return err
	}
	for {
		name, ok, err := s.member()
		if err != nil || !ok {
			return err
		}
		if err := read(name); err != nil {
			return err
		}
	}
}

// list reads an array and calls read for each element, which must read it. A value that
// is no array is read and passed over.
func (s *scanner) list(read func() error) error {
	if s.dec.PeekKind() != '[' {
		return s.skip()
	}
	if err := s.enter(); err != nil {
		return err
	}
	for {
		ok, err := s.element()
		if err != nil || !ok {
			return err
		}
		if err := read(); err != nil {
			return err
		}
	}
}

// scalar is the text of a string or a number.
func scalar(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		return unquote(v)
	case '0':
		return string(v)
	}
	return ""
}
