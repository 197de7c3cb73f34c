package answer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// resource collects what a FHIR resource says about the fate of the message, whose members may
// come in any order: an OperationOutcome by its issues, a MessageHeader by its response.
type resource struct {
	kind     string // resourceType; "" if it has none
	issues   issues
	response string // response.code, where it is one of an error
	entries  issues // of a Bundle
}

// issues are the errors among the issues of a resource.
type issues struct {
	failed  bool
	lasting bool // one of them does not go away by itself
	codes   []string
}

// transient are the codes of issues that may be resolved without a change (FHIR R4, IssueType).
var transient = []string{"transient", "lock-error", "timeout", "throttled", "no-store"}

// add notes an error: its code, and the status behind Redox.
func (i *issues) add(code, status string) {
	i.failed = true
	i.lasting = i.lasting || !slices.Contains(transient, code)
	if !jsonscan.IsIdentifier(code) {
		code = ""
	}
	if jsonscan.IsIdentifier(status) {
		code += "/" + status
	}
	if code != "" && len(i.codes) < maxRemote {
		i.codes = append(i.codes, code)
	}
}

// join adds the errors of others.
func (i *issues) join(others *issues) {
	i.failed, i.lasting = i.failed || others.failed, i.lasting || others.lasting
	for _, code := range others.codes {
		if len(i.codes) < maxRemote {
			i.codes = append(i.codes, code)
		}
	}
}

// judge adds what a resource says.
func (f *Findings) judge(r *resource) {
	// Redox's pages show answers that are issues and nothing else.
	if r.kind == "OperationOutcome" || r.kind == "" {
		f.take(&r.issues)
	}
	if r.kind == "MessageHeader" && r.response != "" {
		f.fail()
		f.add(r.response)
	}
	f.take(&r.entries)
	f.Transient = f.Failed && !f.lasting
}

func (f *Findings) take(i *issues) {
	f.Failed = f.Failed || i.failed
	f.lasting = f.lasting || i.lasting
	for _, code := range i.codes {
		f.add(code)
	}
}

// readIssues reads issues in Redox's own wording (Redox, Responding to queries): a list beside or
// instead of the resource. One that does not say how severe it is is an error.
func (f *Findings) readIssues(s *jsonscan.Scanner) error {
	return f.readList(s, func() error {
		var i issues
		err := i.read(s, true)
		f.take(&i)
		return err
	})
}

// said is the text of a string or number. Of a string that is too long to be a word, or cannot be read, it is
// none that anybody says: whether the whole of it can be read is not known of an answer that passes.
func said(v jsontext.Value) string {
	text := jsonscan.Scalar(v)
	if v.Kind() == '"' && (len(v) > longString || text == "" && len(v) > len(`""`)) {
		return "\ufffd"
	}
	return text
}

// read reads one issue: its severity, its code and the status that the destination answered. The
// text may quote the message and is left alone. failed says what one without a severity is.
func (i *issues) read(s *jsonscan.Scanner, failed bool) error {
	var code, kind, status string
	err := s.Each(func(name jsontext.Value) error {
		v, err := s.Read()
		if err != nil {
			return err
		}
		switch text := said(v); strings.ToLower(jsonscan.Unquote(name)) {
		case "severity":
			failed = strings.EqualFold(text, "error") || strings.EqualFold(text, "fatal")
		case "code":
			code = text
		case "type":
			kind = text
		case "destinationstatuscode":
			status = text
		}
		return nil
	})
	if failed {
		i.add(cmp.Or(code, kind), status)
	}
	return err
}

// readMember reads what matters of a resource, and skips the rest.
func (r *resource) readMember(s *jsonscan.Scanner, name jsontext.Value) error {
	switch {
	case jsonscan.Is(name, "resourceType"):
		v, err := s.Read()
		if r.kind = "other"; v.Kind() == '"' {
			r.kind = said(v)
		}
		return err
	case jsonscan.Is(name, "issue"):
		return s.List(func() error { return r.issues.read(s, false) })
	case jsonscan.Is(name, "response"):
		return s.Each(func(name jsontext.Value) error {
			if !jsonscan.Is(name, "code") {
				return s.Skip()
			}
			v, err := s.Read()
			if v.Kind() == '"' && (jsonscan.Is(v, "fatal-error") || jsonscan.Is(v, "transient-error")) {
				r.response = jsonscan.Unquote(v)
			}
			return err
		})
	}
	return s.Skip()
}

// readEntry reads one entry of a Bundle in an answer: it fails when the entry holds an
// OperationOutcome with an error, as its resource or as the outcome of its request, a
// MessageHeader that says so, or when the status of its request is one of failure (FHIR R4,
// Bundle).
func (r *resource) readEntry(s *jsonscan.Scanner) error {
	return s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "resource"):
			return r.readInner(s)
		case jsonscan.Is(name, "response"):
			return s.Each(func(name jsontext.Value) error {
				switch {
				case jsonscan.Is(name, "outcome"):
					return r.readInner(s)
				case jsonscan.Is(name, "status"):
					v, err := s.Read()
					if text := said(v); len(text) >= 3 && (text[0] == '4' || text[0] == '5') {
						r.entries.add("", "")
					}
					return err
				}
				return s.Skip()
			})
		}
		return s.Skip()
	})
}

// readInner looks at a resource inside an answer.
func (r *resource) readInner(s *jsonscan.Scanner) error {
	var inner resource
	err := s.Each(func(name jsontext.Value) error { return inner.readMember(s, name) })
	switch {
	case inner.kind == "OperationOutcome" && inner.issues.failed:
		r.entries.join(&inner.issues)
	case inner.kind == "MessageHeader" && inner.response != "":
		r.entries.add(inner.response, "")
	}
	return err
}
