package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// fields is the table of all keys, read from the tags of Config; fieldIndex finds a row by its
// key. Both are never changed.
var (
	fields     = readTable()
	fieldIndex = indexFields()
)

func indexFields() map[string]int {
	index := make(map[string]int, len(fields))
	for i, f := range fields {
		index[f.key] = i
	}
	return index
}

func readTable() []field {
	t := table{}
	t.section(reflect.TypeFor[Config](), field{})
	return t.rows
}

type table struct{ rows []field }

// section appends the rows of a struct. above is what they have in common: the key of the
// section, its index and part.
func (t *table) section(of reflect.Type, above field) {
	for i := range of.NumField() {
		f := of.Field(i)
		if !f.IsExported() {
			continue
		}
		row := above
		row.key, row.index = join(above.key, f.Tag.Get("key")), append(slices.Clone(above.index), i)
		switch {
		case f.Type.Kind() == reflect.Map:
			t.section(f.Type.Elem(), field{key: row.key + ".*", part: partsByName[row.key]})
		case f.Tag.Get("doc") != "":
			row.read(f)
			t.rows = append(t.rows, row)
		default:
			t.section(f.Type, row)
		}
	}
}

// partsByName are the parts in tags, and the sections that are parts.
var partsByName = map[string]Parts{"keys": PartKeys, "sources": PartSources, "order secret": PartOrderSecret}

// read takes the tags of a field.
func (f *field) read(of reflect.StructField) {
	tag := of.Tag.Get
	f.doc, f.def, f.least, f.most = tag("doc"), tag("default"), tag("least"), tag("most")
	if limit := tag("below"); limit != "" {
		f.most, f.below = limit, true
	}
	f.values, f.types = words(tag("values")), words(tag("types"))
	is := words(tag("is"))
	f.required, f.private = slices.Contains(is, "required"), slices.Contains(is, "private")
	f.part |= partsByName[tag("skip")]
	f.kind = kindOf(of.Type, tag("kind"))
}

func words(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Fields(text)
}

// kindOf is the kind of a tag, or that of the type. A tag that is none is found by every test.
func kindOf(of reflect.Type, tag string) kind {
	named := map[string]kind{"url": kindURL, "servers": kindServers, "proxy": kindProxy, "file": kindFile, "new file": kindNewFile,
		"directory": kindDir, "secret file": kindSecretFile}
	typed := map[reflect.Type]kind{
		reflect.TypeFor[string](): kindText, reflect.TypeFor[int](): kindInteger, reflect.TypeFor[float64](): kindNumber,
		reflect.TypeFor[bool](): kindBoolean, reflect.TypeFor[time.Duration](): kindDuration, reflect.TypeFor[int64](): kindSize,
		reflect.TypeFor[[]string](): kindList, reflect.TypeFor[Secret](): kindSecret,
	}
	k, ok := typed[of]
	if tag != "" {
		k, ok = named[tag]
	}
	if !ok {
		panic(fmt.Sprintf("config: no kind %q of a %s", tag, of))
	}
	return k
}
