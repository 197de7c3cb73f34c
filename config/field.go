package config

import (
	"reflect"
	"slices"
	"strings"
)

// Field describes one key.
type Field struct {
	Key      string   // dotted; the name of a map entry is <name>
	Env      string   // environment variable; the name is <NAME>
	Type     string   // string, integer, number, boolean, duration, size, list, url, path or secret
	Default  string   // as written in YAML; "" for none
	Values   []string // all that are allowed, when they can be listed
	Required bool     // must be set (in keys: depending on the type)
	Secret   bool     // never printed
	Doc      string   // one line
}

// Reference returns every key, in the order of Config.YAML.
func Reference() []Field {
	out := make([]Field, 0, len(fields))
	for _, f := range fields {
		out = append(out, Field{
			Key:      strings.ReplaceAll(f.key, "*", "<name>"),
			Env:      envName(strings.ReplaceAll(f.key, "*", "<name>")),
			Type:     f.kind.name(),
			Default:  f.def,
			Values:   slices.Clone(f.values),
			Required: f.required,
			Secret:   f.kind == kindSecret,
			Doc:      f.doc,
		})
	}
	return out
}

// kind says how the text of a setting is read, checked in itself, and printed.
type kind int

const (
	kindText       kind = iota // *string
	kindURL                    // *string: https, or http on a loopback host
	kindServers                // *URL: comma list of NATS servers
	kindProxy                  // *URL
	kindInteger                // *int
	kindNumber                 // *float64
	kindBoolean                // *bool
	kindDuration               // *time.Duration
	kindSize                   // *int64, bytes
	kindList                   // *[]string
	kindFile                   // *string: a file that must be there
	kindNewFile                // *string: a file that may be made
	kindDir                    // *string: a directory that must be there
	kindSecretFile             // *string: a file whose text goes to the sibling without _file
	kindSecret                 // *Secret
)

func (k kind) name() string {
	switch k {
	case kindURL, kindServers, kindProxy:
		return "url"
	case kindInteger:
		return "integer"
	case kindNumber:
		return "number"
	case kindBoolean:
		return "boolean"
	case kindDuration:
		return "duration"
	case kindSize:
		return "size"
	case kindList:
		return "list"
	case kindFile, kindNewFile, kindDir, kindSecretFile:
		return "path"
	case kindSecret:
		return "secret"
	default:
		return "string"
	}
}

// field is one row of the table.
type field struct {
	key         string // dotted; the name of a map entry is *
	kind        kind
	def         string   // as written in YAML; a list is comma separated
	doc         string   // one line
	values      []string // all that are allowed
	least, most string   // bounds, as the value is written; "" for none
	below       bool     // most itself is not allowed
	required    bool
	private     bool     // kindFile: only its owner should read it
	types       []string // keys: the types of key that have it; nil for all
	part        Parts    // what may be skipped
	index       []int    // of the value in a Config, Key or Source
}

// at returns a pointer to the value in a *Config, *Key or *Source.
func (f field) at(owner any) any {
	return reflect.ValueOf(owner).Elem().FieldByIndex(f.index).Addr().Interface()
}

// last returns the key below the name of the map entry, or the whole key.
func (f field) last() string {
	if _, rest, ok := strings.Cut(f.key, ".*."); ok {
		return rest
	}
	return f.key
}

// section returns "keys", "sources" or, for a key that is in no map, "".
func (f field) section() string {
	name, _, _ := strings.Cut(f.key, ".*.")
	if name == f.key {
		return ""
	}
	return name
}

// named returns the key for one map entry.
func (f field) named(name string) string { return strings.Replace(f.key, "*", name, 1) }

// has reports whether a key of that type has this field.
func (f field) has(keyType string) bool {
	return len(f.types) == 0 || slices.Contains(f.types, keyType)
}

// isPath reports whether the value is the path of a file.
func (k kind) isPath() bool {
	return k == kindFile || k == kindNewFile || k == kindDir || k == kindSecretFile
}

// sibling returns the field of the value for a _file field, and the other way round.
func (f field) sibling() (field, bool) {
	switch f.kind {
	case kindSecretFile:
		return fieldOf(strings.TrimSuffix(f.key, "_file"))
	case kindSecret:
		return fieldOf(f.key + "_file")
	}
	return field{}, false
}

// fieldOf returns the row of a key, with or without * for a name.
func fieldOf(key string) (field, bool) {
	i, ok := fieldIndex[generic(key)]
	if !ok {
		return field{}, false
	}
	return fields[i], true
}

// generic replaces the name of a map entry by *.
func generic(key string) string {
	parts := strings.Split(key, ".")
	if len(parts) > 2 && isMap(parts[0]) {
		parts[1] = "*"
	}
	return strings.Join(parts, ".")
}

// isMap reports whether the entries of a section have names of the user's choice.
func isMap(section string) bool { return section == "keys" || section == "sources" }

// isSection reports whether keys lie below this one.
func isSection(key string) bool {
	if isMap(key) {
		return true
	}
	if parts := strings.Split(key, "."); len(parts) == 2 && isMap(parts[0]) {
		return true
	}
	prefix := generic(key) + "."
	return slices.ContainsFunc(fields, func(f field) bool { return strings.HasPrefix(f.key, prefix) })
}
