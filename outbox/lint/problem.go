package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Problem is one way in which a message does not fit its schema.
type Problem struct {
	// Path is where: member names with dots between them and elements by number, from 0, as in
	// Orders[2].ID. A member that the schema does not name is a *. Empty is the whole message.
	Path string `json:"path"`
	// Text says what is wrong, without any value of the message.
	Text string `json:"text"`
}

// String returns path and text.
func (p Problem) String() string {
	if p.Path == "" {
		return "the message " + p.Text
	}
	return p.Path + " " + p.Text
}

// Error says why a message does not fit the schema of its event.
type Error struct {
	// DataModel and EventType of the message, as [contract.SafeName] shows them.
	DataModel, EventType string
	// Problems by their paths, at most 20.
	Problems []Problem
	// More is how many there are besides.
	More int
}

const (
	mostProblems  = 20
	mostCollected = 1_000 // before the first are chosen: the library finds them in no order
)

// Error returns one line with all problems.
func (e *Error) Error() string {
	texts := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		texts = append(texts, p.String())
	}
	if e.More > 0 {
		texts = append(texts, "and "+strconv.Itoa(e.More)+" more")
	}
	return fmt.Sprintf("lint: %s %s does not fit its schema: %s", e.DataModel, e.EventType, strings.Join(texts, "; "))
}

// newError says what failed in a message.
func newError(failed *jsonschema.ValidationError, doc any, names map[string]bool) *Error {
	model, event := eventOf(doc)
	e := &Error{DataModel: contract.SafeName(model), EventType: contract.SafeName(event)}
	r := reader{doc: doc, names: names}
	r.read(failed)
	e.Problems = r.found
	slices.SortFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Text, b.Text))
	})
	e.Problems = slices.Compact(e.Problems)
	r.total -= len(r.found) - len(e.Problems)
	e.Problems = e.Problems[:min(len(e.Problems), mostProblems)]
	e.More = r.total - len(e.Problems)
	return e
}

// reader turns what the library says into problems.
type reader struct {
	doc   any
	names map[string]bool
	found []Problem
	total int
}

func (r *reader) add(at []string, text string) { r.put(r.path(at), text) }

func (r *reader) put(path, text string) {
	if r.total++; len(r.found) < mostCollected {
		r.found = append(r.found, Problem{path, text})
	}
}

// read goes down to what is wrong in itself. What fits none of several alternatives is one problem:
// why it does not fit each of them says little.
func (r *reader) read(e *jsonschema.ValidationError) {
	at := e.InstanceLocation
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		for _, cause := range e.Causes {
			r.read(cause)
		}
	case *kind.Required:
		r.missing(at, k.Missing, "is missing")
	case *kind.Dependency:
		r.missing(at, k.Missing, "is missing beside another member")
	case *kind.DependentRequired:
		r.missing(at, k.Missing, "is missing beside another member")
	case *kind.AdditionalProperties:
		r.add(at, "has "+counted(len(k.Properties), "member")+" that the schema does not have")
	case *kind.AdditionalItems:
		r.add(at, "has "+counted(k.Count, "element")+" more than the schema has")
	case *kind.Type:
		r.add(at, "is "+k.Got+" and should be "+strings.Join(k.Want, " or "))
	case *kind.Format:
		r.add(at, "is not of the format "+k.Want)
	default:
		r.add(at, texts(e.ErrorKind))
	}
}

// texts are those of kinds that say no more.
func texts(k jsonschema.ErrorKind) string {
	switch k.(type) {
	case *kind.Enum, *kind.Const:
		return "is none of the values that the schema lists"
	case *kind.Pattern:
		return "does not match the schema's pattern"
	case *kind.MinLength:
		return "is too short"
	case *kind.MaxLength:
		return "is too long"
	case *kind.Minimum, *kind.ExclusiveMinimum:
		return "is too small"
	case *kind.Maximum, *kind.ExclusiveMaximum:
		return "is too large"
	case *kind.MultipleOf:
		return "is not a multiple of what the schema says"
	case *kind.MinItems:
		return "has too few elements"
	case *kind.MaxItems:
		return "has too many elements"
	case *kind.UniqueItems:
		return "has the same element twice"
	case *kind.MinProperties:
		return "has too few members"
	case *kind.MaxProperties:
		return "has too many members"
	case *kind.PropertyNames:
		return "has a member whose name does not fit"
	case *kind.AnyOf, *kind.OneOf:
		return "fits none, or more than one, of the schema's alternatives"
	case *kind.Not:
		return "is what the schema excludes"
	case *kind.FalseSchema:
		return "may not be there"
	}
	return "does not fit the schema"
}

// missing names members that are missing, as far as they have the form of a name.
func (r *reader) missing(at, names []string, text string) {
	for _, name := range names {
		path := r.path(at)
		if path != "" {
			path += "."
		}
		r.put(path+r.name(name), text)
	}
}

// path leads to a value, through the message: a number is an element in an array and a name in an
// object.
func (r *reader) path(at []string) string {
	var b strings.Builder
	v := r.doc
	for _, token := range at {
		switch value := v.(type) {
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(value) {
				return b.String()
			}
			b.WriteString("[" + strconv.Itoa(i) + "]")
			v = value[i]
		case map[string]any:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(r.name(token))
			v = value[token]
		}
	}
	return b.String()
}

// name is a name that the schema has, and a name it is.
func (r *reader) name(name string) string {
	if !r.names[name] || name == "" || len(name) > 64 || strings.ContainsFunc(name, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	}) {
		return "*"
	}
	return name
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
