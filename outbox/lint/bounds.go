package lint

import (
	"encoding/json"
	"strings"
)

const (
	maxValues    = 1_000_000 // of a message: some ten megabytes of small ones
	maxDepth     = 200       // of messages and schemas; real ones nest some ten levels
	maxKeywords  = 100_000   // values of a schema; Redox's have some thousand
	maxResources = 1_000     // places of a schema that have an id of their own
	maxDigits    = 400       // of a number, written out
)

// measure counts the values of a JSON text, with the names of members, and how deep it is nested. It
// answers something of what is no JSON.
func measure(text []byte) (values, depth int) {
	level, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			level++
			values++
			depth = max(depth, level)
		case c == '}', c == ']':
			level--
		case c == ',', c == ':':
			values++
		}
	}
	return values, depth
}

// plain reports whether no number takes more than some hundred digits to be written out: they are
// compared exactly.
func plain(v any) bool {
	switch v := v.(type) {
	case json.Number:
		text := string(v)
		_, exponent, _ := strings.Cut(strings.ToLower(text), "e")
		return len(text) <= maxDigits && len(strings.TrimLeft(exponent, "+-0")) <= 2
	case []any:
		for _, element := range v {
			if !plain(element) {
				return false
			}
		}
	case map[string]any:
		for _, member := range v {
			if !plain(member) {
				return false
			}
		}
	}
	return true
}

// resources counts what may be an id of its own in a schema: the library looks through all of them at
// each place.
func resources(v any) (n int) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			n += resources(element)
		}
	case map[string]any:
		for name, member := range v {
			if _, text := member.(string); text && (name == "id" || name == "$id") {
				n++
			}
			n += resources(member)
		}
	}
	return n
}
