package redoxsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// JSON is read member by member, by exact name and in order: encoding/json would match "meta"
// for "Meta" and merge duplicates silently, and both are mistakes that a simulator must see.

// maxDepth is the nesting that encoding/json allows.
const maxDepth = 10000

// lenient takes exactly what json.Valid takes; a fuzz test holds it to that.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

func newDecoder(b []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(b), lenient...)
}

// validJSON says whether b is one JSON value with nothing but white space around it.
func validJSON(b []byte) bool { return jsontext.Value(b).IsValid(lenient...) }

// tooDeep says whether a text that is no valid JSON is so because of its depth.
func tooDeep(b []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(b) && depth <= maxDepth; i++ {
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
	return depth > maxDepth
}

// member is one member of a JSON object.
type member struct {
	name  string
	value []byte
}

// members lists the members of an object that is valid, in order; false when it is no object.
func members(object []byte) ([]member, bool) {
	list, ok, isObject := document(object)
	return list, ok && isObject
}

// document lists the members of a body in one pass. ok says that it is JSON, isObject that it is an object.
func document(b []byte) (list []member, ok, isObject bool) {
	d := newDecoder(b)
	if d.PeekKind() != '{' {
		return nil, validJSON(b), false
	}
	_, _ = d.ReadToken() // it was seen
	list = make([]member, 0, 8)
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, false, true
		}
		m := member{name: name.String()}
		value, err := d.ReadValue()
		if err != nil {
			return nil, false, true
		}
		end := d.InputOffset()
		m.value = b[end-int64(len(value)) : end]
		list = append(list, m)
	}
	if _, err := d.ReadToken(); err != nil { // what closes it
		return nil, false, true
	}
	_, err := d.ReadToken()
	return list, errors.Is(err, io.EOF), true
}

// elements lists the elements of an array that is valid; false when it is no array.
func elements(array []byte) (list [][]byte, ok bool) {
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

// lookup finds a member by exact name; duplicate tells that there is more than one.
func lookup(list []member, name string) (value []byte, found, duplicate bool) {
	for _, m := range list {
		if m.name == name {
			duplicate = found
			value, found = m.value, true
			if duplicate {
				return value, true, true
			}
		}
	}
	return value, found, false
}

// isText says whether a value is a JSON string, and returns it.
func isText(value []byte) (string, bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return textOf(value), true
}

func isNull(value []byte) bool { return string(value) == "null" }

// decodeStrict reads one JSON value into v; unknown members and anything after the value are errors.
func decodeStrict(text []byte, v any) error {
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
