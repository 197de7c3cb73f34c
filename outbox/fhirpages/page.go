package fhirpages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// Page is one answer. What its methods hand out shares memory with Reply.Body and must not be
// changed. It is safe for concurrent use.
type Page struct {
	// Number counts from 1.
	Number int
	// Reply to the request for the page. Its Body is the Bundle.
	Reply outbox.Reply
	// Type is Bundle.type: searchset, history and so on.
	Type string
	// Total is Bundle.total, how many match on all pages; -1 where the server does not say.
	Total int64
	// Next is the link to the next page as the server gave it, which goes into
	// [outbox.Message].Path; "" on the last page. It may hold patient data.
	Next string

	entries []jsontext.Value
}

// Entries returns the entries of the Bundle, each byte for byte.
func (p Page) Entries() iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for _, e := range p.entries {
			if !yield(json.RawMessage(e)) {
				return
			}
		}
	}
}

// Resources returns the resources of the entries, each byte for byte. It skips an entry without
// one, such as a deletion in a history. OperationOutcomes with which a server explains a search are
// among them.
func (p Page) Resources() iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for _, e := range p.entries {
			var resource jsontext.Value
			_ = object(newDecoder(e), func(d *jsontext.Decoder, name string) error {
				v, err := d.ReadValue()
				if name == "resource" && v.Kind() == '{' {
					resource = v
				}
				return err
			})
			if resource != nil && !yield(json.RawMessage(resource)) {
				return
			}
		}
	}
}

// read reads the Bundle in place: a decoder on a bytes.Buffer does not copy values.
func (p *Page) read() error {
	d, bundle := newDecoder(contract.WithoutMark(p.Reply.Body)), false
	err := object(d, func(d *jsontext.Decoder, name string) error {
		switch name {
		case "link":
			return list(d, func() error { return p.readLink(d) })
		case "entry":
			return list(d, func() error {
				v, err := d.ReadValue()
				p.entries = append(p.entries, v)
				return err
			})
		}
		v, err := d.ReadValue()
		switch name {
		case "resourceType":
			bundle = textOf(v) == "Bundle"
		case "type":
			p.Type = textOf(v)
		case "total":
			if n, err := strconv.ParseInt(string(v), 10, 64); err == nil && n >= 0 {
				p.Total = n
			}
		}
		return err
	})
	if err != nil || !bundle { // the text of err quotes the body
		p.entries, p.Next = nil, ""
		return ErrNoBundle
	}
	return nil
}

// readLink reads one link of the Bundle.
func (p *Page) readLink(d *jsontext.Decoder) error {
	var relation, url string
	err := object(d, func(d *jsontext.Decoder, name string) error {
		v, err := d.ReadValue()
		switch name {
		case "relation":
			relation = textOf(v)
		case "url":
			url = textOf(v)
		}
		return err
	})
	if relation == "next" && p.Next == "" {
		p.Next = url
	}
	return err
}

func newDecoder(text []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// object reads an object and calls member for each of its members, which must read the value. A
// value that is no object is passed over.
func object(d *jsontext.Decoder, member func(*jsontext.Decoder, string) error) error {
	if d.PeekKind() != '{' {
		return d.SkipValue()
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() == '"' {
		var name jsontext.Token
		if name, err = d.ReadToken(); err == nil {
			err = member(d, name.String())
		}
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return err
}

// list reads an array and calls element for each of its elements, which must read it. A value
// that is no array is passed over.
func list(d *jsontext.Decoder, element func() error) error {
	if d.PeekKind() != '[' {
		return d.SkipValue()
	}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != ']' && d.PeekKind() != 0 {
		err = element()
	}
	if err == nil {
		_, err = d.ReadToken()
	}
	return err
}

func textOf(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	text, _ := jsontext.AppendUnquote(nil, v) // it was read
	return string(text)
}

func (p Page) shown() shown.Value {
	return shown.Of("fhirpages.Page", "number", p.Number, "settlement", p.Reply.Settlement, "status", p.Reply.Status, "entries", len(p.entries), "next_bytes", len(p.Next))
}

// Format prints what is no patient data, whatever the verb: neither the Bundle nor the link.
func (p Page) Format(f fmt.State, _ rune) { p.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (p Page) LogValue() slog.Value { return p.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (p Page) MarshalJSON() ([]byte, error) { return p.shown().JSON() }
