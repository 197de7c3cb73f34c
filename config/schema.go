package config

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// schemaURI names the dialect, JSON Schema 2020-12.
const schemaURI = "https://json-schema.org/draft/2020-12/schema"

// object is a JSON Schema, or the properties of one.
type object = map[string]any

// Schema returns a JSON Schema (2020-12) of the file, indented. What the file may
// leave to the environment is not required by it, and what needs a look at other
// files or at two keys at once is left to Load.
func Schema() []byte {
	root := section("Settings of redoxworker.")
	root["$schema"] = schemaURI
	root["title"] = "redoxworker"
	for _, f := range fields {
		parts := strings.Split(f.key, ".")
		at := root
		for _, p := range parts[:len(parts)-1] {
			at = below(at, p)
		}
		at["properties"].(object)[parts[len(parts)-1]] = f.schema()
	}
	exclusive(root)
	keys := below(root, "keys")["additionalProperties"].(object)
	keys["allOf"] = []any{
		object{"if": typeIs(KeyLegacy), "then": without(KeyLegacy), "else": without(KeyOAuth)},
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(root) // maps, lists and scalars, into memory
	return b.Bytes()
}

func section(doc string) object {
	return object{"type": "object", "description": doc, "properties": object{}, "additionalProperties": false}
}

// below returns the schema of a subsection, made when it is not there. The
// entries of a map are described by additionalProperties.
func below(parent object, name string) object {
	if name == "*" {
		if _, ok := parent["additionalProperties"].(object); !ok {
			delete(parent, "properties")
			parent["additionalProperties"] = object{"type": []string{"object", "null"}, "properties": object{}, "additionalProperties": false}
			parent["propertyNames"] = object{"pattern": namePattern.String()}
		}
		return parent["additionalProperties"].(object)
	}
	properties := parent["properties"].(object)
	if _, ok := properties[name]; !ok {
		s := section("")
		delete(s, "description")
		s["type"] = []string{"object", "null"} // a section may be left blank
		properties[name] = s
	}
	return properties[name].(object)
}

// exclusive forbids a secret by value and by file together, in each section. One that is
// left blank is not given.
func exclusive(s object) {
	properties, _ := s["properties"].(object)
	given := object{"type": "string", "minLength": 1}
	var not []any
	for _, name := range sortedKeys(properties) {
		if _, both := properties[name+"_file"]; both {
			not = append(not, object{
				"type": "object", "required": []string{name, name + "_file"},
				"properties": object{name: given, name + "_file": given},
			})
		}
		exclusive(properties[name].(object))
	}
	if not != nil {
		s["not"] = object{"anyOf": not}
	}
	if entries, ok := s["additionalProperties"].(object); ok {
		exclusive(entries)
	}
}

func typeIs(keyType string) object {
	return object{"properties": object{"type": object{"const": keyType}}, "type": "object", "required": []string{"type"}}
}

// without forbids the fields that a key of that type does not have.
func without(keyType string) object {
	forbidden := object{}
	for _, f := range fields {
		if f.section() == "keys" && !f.has(keyType) {
			name, _, _ := strings.Cut(f.last(), ".")
			forbidden[name] = false
		}
	}
	return object{"properties": forbidden}
}

// schema describes one field.
func (f field) schema() object {
	doc := f.doc
	if f.required {
		doc += " (required)"
	}
	s := object{"description": strings.ToUpper(doc[:1]) + doc[1:] + "."}
	types := []string{"string"}
	switch f.kind {
	case kindInteger:
		types = []string{"integer"}
	case kindNumber:
		types = []string{"number"}
	case kindBoolean:
		types = []string{"boolean"}
	case kindDuration:
		s["pattern"] = durationPattern
	case kindSize:
		types = []string{"integer", "string"}
		s["pattern"] = sizePattern
		s["minimum"] = int64(f.kind.amount(f.least)) // of those that are written as a number
	case kindList:
		types = []string{"array", "string"}
		s["items"] = object{"type": "string"}
	case kindSecret:
		s["writeOnly"] = true
	case kindURL:
		s["pattern"] = "^(https?://|$)"
	}
	s["type"] = append(types, "null") // a key may be left blank
	f.schemaLimits(s)
	return s
}

func (f field) schemaLimits(s object) {
	if f.def != "" {
		s["default"] = f.typed(f.def)
	}
	if len(f.values) > 0 {
		var values []any
		for _, v := range f.values {
			values = append(values, f.typed(v))
		}
		if f.kind == kindText {
			values = append(values, "") // means the default
		}
		s["enum"] = append(values, nil) // so does a blank
	}
	switch {
	case f.kind != kindInteger && f.kind != kindNumber:
		return
	case f.below:
		s["exclusiveMaximum"] = f.typed(f.most)
	case f.most != "":
		s["maximum"] = f.typed(f.most)
	}
	if f.least != "" {
		s["minimum"] = f.typed(f.least)
	}
}

// typed turns the text of a default or a bound into what JSON has for it.
func (f field) typed(text string) any {
	switch f.kind {
	case kindInteger, kindNumber:
		return json.Number(text)
	case kindBoolean:
		b, _ := strconv.ParseBool(text)
		return b
	case kindList:
		return strings.Split(text, ",")
	default:
		return text
	}
}

func sortedKeys(m object) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	return sorted(keys)
}
