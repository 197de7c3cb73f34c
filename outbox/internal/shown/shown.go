package shown

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Value is what of a value may be shown.
type Value struct {
	name   string // of its type, with its package
	fields []slog.Attr
}

// Of lists names and values in turn, and leaves out those that are zero.
func Of(name string, pairs ...any) Value {
	s := Value{name: name}
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

// Print is for [fmt.Formatter]: the same for all verbs.
func (s Value) Print(f fmt.State) {
	var b strings.Builder
	b.WriteString(s.name + "{")
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

// LogValue is for [slog.LogValuer].
func (s Value) LogValue() slog.Value { return slog.GroupValue(s.fields...) }

// JSON is for [json.Marshaler]: an object of the same fields.
func (s Value) JSON() ([]byte, error) {
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

// Token is an order token, and nothing else.
func Token(token string) string {
	if token == "" || wire.IsOrderToken(token) {
		return token
	}
	return "…"
}
