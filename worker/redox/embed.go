package redox

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// attachment is a file inside a data-model message: body[start:end] is the JSON string
// that holds it, quotes included.
type attachment struct {
	start, end int
	embedded
	media string // of the file; "" when the message does not say
}

// canEmbed reports whether messages of a data model may hold files (Redox, Send a file).
func canEmbed(dataModel jsontext.Value) bool {
	return is(dataModel, "Media") || is(dataModel, "Notes") || is(dataModel, "Results")
}

// attachments finds the files of more than over bytes in a message, in their order:
// Media.FileContents, Note.FileContents whose ContentType is "Base64 Encoded", and
// Orders[].Results[].Value whose ValueType is "Encapsulated Data" (Redox, Transferring
// files). What is not base64, such as the URI of a file that is uploaded already, is none.
// The body is known to be JSON.
func attachments(body []byte, dataModel jsontext.Value, over int64) ([]attachment, *Error) {
	s := scan(body, lenientJSON...)
	defer s.release()
	f := finder{scanner: s, over: over}
	err := s.each(func(name jsontext.Value) error {
		switch {
		case is(dataModel, "Media") && is(name, "Media"):
			return f.object(place{contents: "FileContents"})
		case is(dataModel, "Notes") && is(name, "Note"):
			return f.object(place{contents: "FileContents", when: "ContentType", says: "Base64 Encoded"})
		case is(dataModel, "Results") && is(name, "Orders"):
			return f.orders()
		}
		return s.skip()
	})
	if err != nil {
		return nil, s.notJSON(err)
	}
	return f.found, nil
}

// place is where an object holds a file: in the member contents, if the member when says
// so; when "" means always.
type place struct{ contents, when, says string }

type finder struct {
	*scanner
	over  int64
	found []attachment
}

func (f *finder) orders() error {
	return f.list(func() error {
		return f.each(func(name jsontext.Value) error {
			if !is(name, "Results") {
				return f.skip()
			}
			return f.list(func() error {
				return f.object(place{contents: "Value", when: "ValueType", says: "Encapsulated Data"})
			})
		})
	})
}

// object reads an object that may hold a file. Its members may come in any order.
func (f *finder) object(p place) error {
	holds := p.when == ""
	var media string
	var contents []attachment // a name may be there twice: both give way
	err := f.each(func(name jsontext.Value) error {
		v, start, end, err := f.value()
		if err != nil || v.Kind() != '"' {
			return err
		}
		switch {
		case is(name, p.contents) && int64(len(v)) > f.over:
			contents = append(contents, attachment{start: start, end: end, embedded: embedded{raw: v[1 : len(v)-1]}})
		case p.when != "" && is(name, p.when):
			holds = is(v, p.says)
		case is(name, "FileType"):
			media = mediaTypes[string(bytes.ToLower(v[1:len(v)-1]))]
		}
		return nil
	})
	if err != nil || !holds {
		return err
	}
	for _, a := range contents {
		var ok bool
		if a.embedded, ok = measure(a.raw); ok && a.size > f.over {
			a.media = media
			f.found = append(f.found, a)
		}
	}
	return nil
}

// edit replaces body[start:end] by text.
type edit struct {
	start, end int
	text       []byte
}

// splice carries out edits, which are in the order of the body and do not overlap. All
// other bytes stay as they are; body itself does not change.
func splice(body []byte, edits []edit) []byte {
	size := len(body)
	for _, e := range edits {
		size += len(e.text) - (e.end - e.start)
	}
	out, from := make([]byte, 0, size), 0
	for _, e := range edits {
		out = append(append(out, body[from:e.start]...), e.text...)
		from = e.end
	}
	return append(out, body[from:]...)
}
