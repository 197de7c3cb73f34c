package outbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
)

// The types of this package that hold a secret or patient data print without them: through
// every verb of package fmt, as JSON, and through package slog, where they stand alone, in
// exported fields, slices, maps or behind pointers. What is shown are ids, names of sources,
// kinds, sizes, times and texts that are safe already. (In an unexported field of another
// struct package fmt calls no methods: log the value itself.)

// shown is what of a value may be shown.
type shown struct {
	name   string // of its type
	fields []slog.Attr
}

// show lists names and values in turn, and leaves out those that are zero.
func show(name string, pairs ...any) shown {
	s := shown{name: name}
	for i := 0; i+1 < len(pairs); i += 2 {
		value := reflect.ValueOf(pairs[i+1])
		if !value.IsValid() || value.IsZero() {
			continue
		}
		key := pairs[i].(string)
		switch value.Kind() {
		case reflect.String:
			s.fields = append(s.fields, slog.String(key, value.String()))
		default:
			s.fields = append(s.fields, slog.Any(key, pairs[i+1]))
		}
	}
	return s
}

// format is for [fmt.Formatter]: the same for all verbs.
func (s shown) format(f fmt.State) {
	var b strings.Builder
	b.WriteString("outbox." + s.name + "{")
	for i, field := range s.fields {
		if i > 0 {
			b.WriteByte(' ')
		}
		text := field.Value.String()
		if strings.ContainsAny(text, " \"{}\n") {
			text = strconv.Quote(text)
		}
		b.WriteString(field.Key + ":" + text)
	}
	b.WriteByte('}')
	_, _ = io.WriteString(f, b.String())
}

// value is for [slog.LogValuer].
func (s shown) value() slog.Value { return slog.GroupValue(s.fields...) }

// json is for [json.Marshaler]: an object of the same fields.
func (s shown) json() ([]byte, error) {
	var b bytes.Buffer
	for i, field := range s.fields {
		value, err := json.Marshal(field.Value.Any())
		if err != nil {
			return nil, err
		}
		b.WriteByte("{,"[min(i, 1)])
		b.WriteString(strconv.Quote(field.Key) + ":")
		b.Write(value)
	}
	if len(s.fields) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
