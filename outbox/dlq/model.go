package dlq

import (
	"bytes"
	"encoding/json"

	"github.com/redoxworker/redoxworker/outbox"
)

// readModel finds Meta.DataModel and Meta.EventType, and reads no further than
// that. It is tolerant: of a body that is no data-model message, or is broken, it
// returns what it has found. What is no name is [NoName]: see [outbox.SafeName].
func readModel(body []byte) (model, event string) {
	dec := json.NewDecoder(bytes.NewReader(outbox.WithoutMark(body)))
	members(dec, func(name string) bool {
		if name != "Meta" {
			return skipValue(dec)
		}
		members(dec, func(name string) bool {
			switch name {
			case "DataModel":
				return word(dec, &model) && event == ""
			case "EventType":
				return word(dec, &event) && model == ""
			}
			return skipValue(dec)
		})
		return false // the rest is not looked at
	})
	return model, event
}

// members walks the object that comes next until visit returns false; visit
// reads the member's value. False means that there is no more to read.
func members(dec *json.Decoder, visit func(name string) bool) bool {
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok || !visit(name) {
			return false
		}
	}
	_, err := dec.Token()
	return err == nil
}

func word(dec *json.Decoder, into *string) bool {
	var v any
	if err := dec.Decode(&v); err != nil {
		return false
	}
	if s, ok := v.(string); ok && *into == "" {
		*into = outbox.SafeName(s)
	}
	return true
}

// skipped is a value that is read over.
type skipped struct{}

// UnmarshalJSON keeps nothing.
func (*skipped) UnmarshalJSON([]byte) error { return nil }

func skipValue(dec *json.Decoder) bool { return dec.Decode(new(skipped)) == nil }
