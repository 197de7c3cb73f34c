package redoxsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// The scanner below accepts exactly the texts that json.Valid accepts (a fuzz test holds it to that), and lets the
// caller walk objects by their exact member names and in order. encoding/json would match "meta" for "Meta" and merge
// duplicates silently, and both are mistakes that a simulator must see.

// maxDepth is the nesting that encoding/json allows.
const maxDepth = 10000

// validJSON says whether b is one JSON value with nothing but white space around it.
func validJSON(b []byte) bool {
	i, ok := scanValue(b, skipSpace(b, 0), 0)
	return ok && skipSpace(b, i) == len(b)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// scanValue returns the index after the value that starts at i.
func scanValue(b []byte, i, depth int) (int, bool) {
	if i >= len(b) {
		return i, false
	}
	switch c := b[i]; {
	case c == '{' || c == '[':
		return scanContainer(b, i, depth+1)
	case c == '"':
		return scanString(b, i)
	case c == 't':
		return scanWord(b, i, "true")
	case c == 'f':
		return scanWord(b, i, "false")
	case c == 'n':
		return scanWord(b, i, "null")
	default:
		return scanNumber(b, i)
	}
}

func scanWord(b []byte, i int, word string) (int, bool) {
	end := i + len(word)
	return end, end <= len(b) && string(b[i:end]) == word
}

func scanContainer(b []byte, i, depth int) (int, bool) {
	if depth > maxDepth {
		return i, false
	}
	object := b[i] == '{'
	closing := b[i] + 2 // '}' and ']' follow their opening at a distance of two
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == closing {
		return i + 1, true
	}
	for ok := true; ; i = skipSpace(b, i+1) {
		if object {
			if i >= len(b) || b[i] != '"' {
				return i, false
			}
			if i, ok = scanString(b, i); !ok {
				return i, false
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return i, false
			}
			i = skipSpace(b, i+1)
		}
		if i, ok = scanValue(b, i, depth); !ok {
			return i, false
		}
		if i = skipSpace(b, i); i >= len(b) {
			return i, false
		}
		if b[i] == closing {
			return i + 1, true
		}
		if b[i] != ',' {
			return i, false
		}
	}
}

func scanString(b []byte, i int) (int, bool) {
	for i++; i < len(b); i++ {
		c := b[i]
		if c > '"' && c != '\\' { // most of them
			continue
		}
		switch {
		case c == '"':
			return i + 1, true
		case c < 0x20:
			return i, false
		case c == '\\':
			i++
			if i >= len(b) || !scanEscape(b, i) {
				return i, false
			}
			if b[i] == 'u' {
				i += 4
			}
		}
	}
	return i, false
}

func scanEscape(b []byte, i int) bool {
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if i+4 >= len(b) {
			return false
		}
		for _, c := range b[i+1 : i+5] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return false
			}
		}
		return true
	}
	return false
}

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

func scanNumber(b []byte, i int) (int, bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	start := i
	i = digits(b, i)
	if i == start || b[start] == '0' && i > start+1 {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		frac := i + 1
		if i = digits(b, frac); i == frac {
			return i, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exp := i
		if i = digits(b, exp); i == exp {
			return i, false
		}
	}
	return i, true
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// member is one member of a JSON object.
type member struct {
	name  string
	value []byte
}

// members lists the members of an object that validJSON accepted, in order; false when it is no object.
func members(object []byte) ([]member, bool) {
	list, end, ok := scanMembers(object, 0)
	return list, ok && end == len(object)
}

// document lists the members of a body in one pass. ok says that it is JSON, isObject that it is an object.
func document(b []byte) (list []member, ok, isObject bool) {
	i := skipSpace(b, 0)
	if i >= len(b) || b[i] != '{' {
		return nil, validJSON(b), false
	}
	list, end, ok := scanMembers(b, i)
	return list, ok && skipSpace(b, end) == len(b), true
}

// scanMembers is scanContainer for an object at i, keeping its members.
func scanMembers(b []byte, i int) (list []member, end int, ok bool) {
	if i >= len(b) || b[i] != '{' {
		return nil, i, false
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return nil, i + 1, true
	}
	list = make([]member, 0, 8)
	for ; i < len(b) && b[i] == '"'; i = skipSpace(b, i+1) {
		start := i
		if i, ok = scanString(b, start); !ok {
			return nil, i, false
		}
		name := textOf(b[start:i])
		if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
			return nil, i, false
		}
		start = skipSpace(b, i+1)
		if i, ok = scanValue(b, start, 1); !ok {
			return nil, i, false
		}
		list = append(list, member{name, b[start:i]})
		if i = skipSpace(b, i); i >= len(b) {
			return nil, i, false
		}
		if b[i] == '}' {
			return list, i + 1, true
		}
		if b[i] != ',' {
			return nil, i, false
		}
	}
	return nil, i, false
}

// elements lists the elements of an array that validJSON accepted; false when it is no array.
func elements(array []byte) ([][]byte, bool) {
	if len(array) == 0 || array[0] != '[' {
		return nil, false
	}
	var list [][]byte
	i := skipSpace(array, 1)
	for i < len(array) && array[i] != ']' {
		end, ok := scanValue(array, i, 0)
		if !ok {
			break
		}
		list = append(list, array[i:end])
		i = skipSpace(array, end)
		i = skipSpace(array, i+1)
	}
	return list, true
}

// textOf is the Go string of a valid JSON string.
func textOf(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner)
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return ""
	}
	return text
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
