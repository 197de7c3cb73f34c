package answer

import (
	"bytes"
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
	Meta         bool     // a JSON object with an object Meta, as all answers of the Data Model API are
	Failed       bool     // Meta.Errors, top-level Errors, or issues of which one is an error
	Transmission bool     // one of the errors has Type transmission: the destination failed, not Redox
	Transient    bool     // all errors are issues that FHIR says may go away by themselves
	remote       []string // "type/module" of the errors, identifiers only
	Broken       bool     // not one JSON text; what was found before that stands
	Markup       bool     // it begins with a tag, or with what may stand before the first
	HTML         bool     // it begins as a page of HTML does, whatever its media type
	lasting      bool     // one of the errors is no transient issue
}

// Find reads an answer's body in one pass, without keeping it.
func Find(body []byte) Findings {
	var f Findings
	body = httpanswer.WithoutMark(body)
	if f.skim(body) {
		return f
	}
	f = decodeFindings(body)
	f.begin(body)
	return f
}

// begin looks at how the text of an answer begins.
func (f *Findings) begin(text []byte) {
	text = bytes.TrimLeft(text, " \t\r\n\f")
	if len(text) == 0 || text[0] != '<' {
		return
	}
	f.Markup = true
	for _, tag := range [...]string{"<!doctype html", "<html"} {
		f.HTML = f.HTML || len(text) >= len(tag) && strings.EqualFold(string(text[:len(tag)]), tag)
	}
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
	var o resource
	err := s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "Meta"):
			return f.readMeta(s)
		case jsonscan.Is(name, "Errors"):
			return f.readErrors(s)
		case jsonscan.Is(name, "Issues"), jsonscan.Is(name, "issues"):
			return f.readIssues(s)
		case jsonscan.Is(name, "entry"):
			return s.List(func() error { return o.readEntry(s) })
		}
		return o.readMember(s, name)
	})
	if err == nil {
		err = s.End()
	}
	f.Broken = err != nil
	f.judge(&o)
}

func (f *Findings) readMeta(s *jsonscan.Scanner) error {
	if s.Kind() != '{' {
		return s.Skip()
	}
	f.Meta = true
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
	return f.readList(s, func() error {
		f.fail()
		return f.readError(s)
	})
}

// readList reads the list of what went wrong. read is called for the elements that are objects.
func (f *Findings) readList(s *jsonscan.Scanner, read func() error) error {
	if s.Kind() != '[' {
		v, err := s.Read()
		switch text := string(v); {
		case text == "", text == "null", text == "false", text == `""`, text == "0":
		case v.Kind() == '{' && strings.Trim(text[1:], " \t\r\n") == "}":
		default:
			f.fail()
		}
		return err
	}
	return s.List(func() error {
		if s.Kind() == '{' {
			return read()
		}
		f.fail()
		return s.Skip()
	})
}

// fail notes an error that does not go away by itself.
func (f *Findings) fail() { f.Failed, f.lasting = true, true }

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

// RemoteText names what went wrong in one line: "type/module" of the errors, identifiers only.
func (f *Findings) RemoteText() string { return strings.Join(f.remote, ", ") }
