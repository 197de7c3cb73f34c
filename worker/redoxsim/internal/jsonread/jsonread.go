// Package jsonread reads JSON member by member, by exact name and in order: encoding/json would match
// "meta" for "Meta" and merge duplicates silently, and both are mistakes that a simulator must see. It is not
// the reader that clients use: what that one misreads has to be found here.
package jsonread

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is the nesting that encoding/json allows.
const MaxDepth = 10000

// lenient takes exactly what json.Valid takes; a fuzz test holds it to that.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

func newDecoder(b []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(b), lenient...)
}

// Valid says whether b is one JSON value with nothing but white space around it.
func Valid(b []byte) bool { return jsontext.Value(b).IsValid(lenient...) }

// TooDeep says whether a text that is no valid JSON is so because of its depth.
func TooDeep(b []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b) && depth <= MaxDepth; i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
	}
	return depth > MaxDepth
}

// Member is one member of a JSON object. Value aliases the text that was read.
type Member struct {
	Name  string
	Value []byte
}

// List is the members of an object, in order.
type List []Member

// Object lists the members of an object that is valid, in order; false when it is no object.
func Object(object []byte) (List, bool) {
	list, ok, isObject := Document(object)
	return list, ok && isObject
}

// Document lists the members of a body in one pass. ok says that it is JSON, isObject that it is an object.
func Document(b []byte) (list List, ok, isObject bool) {
	d := newDecoder(b)
	if d.PeekKind() != '{' {
		return nil, Valid(b), false
	}
	_, _ = d.ReadToken() // it was seen
	list = make(List, 0, 8)
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, false, true
		}
		m := Member{Name: name.String()}
		value, err := d.ReadValue()
		if err != nil {
			return nil, false, true
		}
		end := d.InputOffset()
		m.Value = b[end-int64(len(value)) : end]
		list = append(list, m)
	}
	if _, err := d.ReadToken(); err != nil { // what closes it
		return nil, false, true
	}
	_, err := d.ReadToken()
	return list, errors.Is(err, io.EOF), true
}

// Elements lists the elements of an array that is valid; false when it is no array.
func Elements(array []byte) (list [][]byte, ok bool) {
	d := newDecoder(array)
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, false
	}
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			break
		}
		end := d.InputOffset()
		list = append(list, array[end-int64(len(value)):end])
	}
	return list, true
}

// textOf is the Go string of a valid JSON string.
func textOf(quoted []byte) string {
	text, _ := jsontext.AppendUnquote(nil, quoted) // what is not UTF-8 becomes U+FFFD, and is an error
	return string(text)
}

// Lookup finds a member by exact name; duplicate tells that there is more than one.
func (list List) Lookup(name string) (value []byte, found, duplicate bool) {
	for _, m := range list {
		if m.Name == name {
			duplicate = found
			value, found = m.Value, true
			if duplicate {
				return value, true, true
			}
		}
	}
	return value, found, false
}

// Duplicate is the name of a member that appears twice; false when there is none.
func (list List) Duplicate() (name string, twice bool) {
	seen := make(map[string]bool, len(list))
	for _, m := range list {
		if seen[m.Name] {
			return m.Name, true
		}
		seen[m.Name] = true
	}
	return "", false
}

// Has says whether there is a member of a name.
func (list List) Has(name string) bool {
	_, found, _ := list.Lookup(name)
	return found
}

// Text is a member that is a string; false when it is not, or not there.
func (list List) Text(name string) (string, bool) {
	value, _, _ := list.Lookup(name)
	return Text(value)
}

// Texts is a member that is a string or a list of strings; false when it is neither.
func (list List) Texts(name string) ([]string, bool) {
	value, _, _ := list.Lookup(name)
	if text, ok := Text(value); ok {
		return []string{text}, true
	}
	all, ok := Elements(value)
	if !ok {
		return nil, false
	}
	texts := make([]string, 0, len(all))
	for _, e := range all {
		text, ok := Text(e)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// Number is a member that is a number; false when it is not.
func (list List) Number(name string) (float64, bool) {
	value, _, _ := list.Lookup(name)
	n, err := strconv.ParseFloat(string(value), 64)
	return n, err == nil && len(value) > 0 && value[0] != '"'
}

// Text says whether a value is a JSON string, and returns it.
func Text(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return textOf(value), true
}

// IsNull says whether a value is null.
func IsNull(value []byte) bool { return string(value) == "null" }

// Strict reads one JSON value into v; unknown members and anything after the value are errors.
func Strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}
