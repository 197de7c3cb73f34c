package redox

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// attachment is a file inside a data-model message: body[start:end] is the JSON string
// that holds it, quotes included.
type attachment struct {
	start, end int
	jsonscan.Embedded
	media string // of the file; "" when the message does not say
}

// canEmbed reports whether messages of a data model may hold files (Redox, Send a file).
func canEmbed(dataModel jsontext.Value) bool {
	return jsonscan.Is(dataModel, "Media") || jsonscan.Is(dataModel, "Notes") || jsonscan.Is(dataModel, "Results")
}

// attachments finds the files of more than over bytes in a message, in their order:
// Media.FileContents, Note.FileContents whose ContentType is "Base64 Encoded", and
// Orders[].Results[].Value whose ValueType is "Encapsulated Data" (Redox, Transferring
// files). What is not base64, such as the URI of a file that is uploaded already, is none.
// The body is known to be JSON.
func attachments(body []byte, dataModel jsontext.Value, over int64) ([]attachment, *Error) {
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	f := finder{Scanner: s, over: over}
	err := s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(dataModel, "Media") && jsonscan.Is(name, "Media"):
			return f.object(place{contents: "FileContents"})
		case jsonscan.Is(dataModel, "Notes") && jsonscan.Is(name, "Note"):
			return f.object(place{contents: "FileContents", when: "ContentType", says: "Base64 Encoded"})
		case jsonscan.Is(dataModel, "Results") && jsonscan.Is(name, "Orders"):
			return f.orders()
		}
		return s.Skip()
	})
	if err != nil {
		return nil, notJSON(s, err)
	}
	return f.found, nil
}

// place is where an object holds a file: in the member contents, if the member when says
// so; when "" means always.
type place struct{ contents, when, says string }

type finder struct {
	*jsonscan.Scanner
	over  int64
	found []attachment
}

func (f *finder) orders() error {
	return f.List(func() error {
		return f.Each(func(name jsontext.Value) error {
			if !jsonscan.Is(name, "Results") {
				return f.Skip()
			}
			return f.List(func() error {
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
	err := f.Each(func(name jsontext.Value) error {
		v, start, end, err := f.Value()
		if err != nil || v.Kind() != '"' {
			return err
		}
		switch {
		case jsonscan.Is(name, p.contents) && int64(len(v)) > f.over:
			contents = append(contents, attachment{start: start, end: end, Embedded: jsonscan.Embedded{Raw: v[1 : len(v)-1]}})
		case p.when != "" && jsonscan.Is(name, p.when):
			holds = jsonscan.Is(v, p.says)
		case jsonscan.Is(name, "FileType"):
			media = mediaTypes[string(bytes.ToLower(v[1:len(v)-1]))]
		}
		return nil
	})
	if err != nil || !holds {
		return err
	}
	for _, a := range contents {
		var ok bool
		if a.Embedded, ok = jsonscan.Measure(a.Raw); ok && a.Size > f.over {
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
