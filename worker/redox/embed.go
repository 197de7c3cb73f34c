package redox

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// attachment is a file inside a message: body[start:end] is the JSON string that holds it,
// quotes included.
type attachment struct {
	start, end int
	jsonscan.Embedded
	media string // of the file; "" when the message does not say
	// name is where the name of the member stands, which gives way to "url"; empty where the URI
	// stands under the same name.
	name span
}

// span is part of a body.
type span struct{ start, end int }

// leftReason is why a file stays inside its message, a label of a metric.
type leftReason string

// The reasons. The file of the last two does not stay: its message goes nowhere.
const (
	leftNotBase64    leftReason = "not_base64"    // it stands where files do, and cannot be read
	leftXML          leftReason = "xml"           // FHIR in XML is not looked into
	leftUnknownPlace leftReason = "unknown_place" // nobody says that a URI may stand in its place
	leftBinary       leftReason = "binary"        // FHIR's Binary has no place for a URI
	leftAmbiguous    leftReason = "ambiguous"     // a FHIR attachment has a URL besides, or data twice
	leftTooLarge     leftReason = "too_large"     // over the limit of the file store
	leftRefused      leftReason = "refused"       // the file store refuses it for good
)

var leftReasons = [...]leftReason{leftNotBase64, leftXML, leftUnknownPlace, leftBinary, leftAmbiguous, leftTooLarge, leftRefused}

// embedded is what a message holds: the files to be uploaded, in their order, and how many stay
// inside, by reason.
type embedded struct {
	files []attachment
	left  map[leftReason]int
}

// canEmbed reports whether messages of a data model may hold files (Redox, Send a file).
func canEmbed(dataModel jsontext.Value) bool {
	return jsonscan.Is(dataModel, "Media") || jsonscan.Is(dataModel, "Notes") || jsonscan.Is(dataModel, "Results")
}

// attachments finds the files of more than over bytes in a message of a data model; without one,
// in FHIR. What is the URI of a file that is uploaded already is none. The body is known to be
// JSON.
func attachments(body []byte, dataModel jsontext.Value, over int64) (embedded, *Error) {
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	f := finder{Scanner: s, dataModel: dataModel, over: over}
	var top holder
	if err := f.value(&top, nil, 0); err != nil {
		return embedded{}, notJSON(s, err)
	}
	for range top.below { // of no resource
		f.leave(leftUnknownPlace)
	}
	slices.SortFunc(f.found.files, func(a, b attachment) int { return cmp.Compare(a.start, b.start) })
	return f.found, nil
}

// finder walks over a whole message.
type finder struct {
	*jsonscan.Scanner
	dataModel jsontext.Value // nil means FHIR
	over      int64
	path      []step // to the object that is being read
	found     embedded
}

// step is a member on the way down, and how many arrays are around the object in it.
type step struct {
	name  jsontext.Value
	lists int
}

// holder is what is kept of an object until its end: members may come in any order.
type holder struct {
	large []stringAt // strings that may be files
	// What it says of them, the first three in data models, the others in FHIR.
	contentType, valueType, fileType, mediaType, resourceType jsontext.Value
	resources                                                 int      // how often resourceType is there
	url                                                       bool     // it is there, whatever it is
	below                                                     []placed // see resource
}

// stringAt is a string in a message.
type stringAt struct {
	name   jsontext.Value
	nameAt span
	value  jsontext.Value
	at     span
	listed bool // it is an element of an array
}

func (f *finder) leave(why leftReason) {
	if f.found.left == nil {
		f.found.left = map[leftReason]int{}
	}
	f.found.left[why]++
}

// value reads the value of a member of o, or what is in an array in so many arrays there.
func (f *finder) value(o *holder, name jsontext.Value, lists int) error {
	at := f.Offset()
	o.url = o.url || jsonscan.Is(name, "url")
	switch f.Kind() {
	case '{':
		return f.object(o, step{name, lists})
	case '[':
		return f.List(func() error { return f.value(o, name, lists+1) })
	case '"':
		v, start, end, err := f.Value()
		if err == nil {
			o.read(f.over, stringAt{name: name, nameAt: span{at - len(name), at}, value: v, at: span{start, end}, listed: lists > 0})
		}
		return err
	}
	return f.Skip()
}

// object reads an object and finds the files in it.
func (f *finder) object(parent *holder, own step) error {
	var o holder
	f.path = append(f.path, own)
	err := f.Each(func(name jsontext.Value) error { return f.value(&o, name, 0) })
	if err == nil {
		if f.dataModel != nil {
			f.model(&o)
		} else {
			f.resource(&o, parent, own.name)
		}
	}
	f.path = f.path[:len(f.path)-1]
	return err
}

// read takes in a string of an object.
func (o *holder) read(over int64, t stringAt) {
	if int64(len(t.value)) > over {
		o.large = append(o.large, t)
	}
	if t.listed {
		return
	}
	switch {
	case jsonscan.Is(t.name, "ContentType"):
		o.contentType = t.value
	case jsonscan.Is(t.name, "ValueType"):
		o.valueType = t.value
	case jsonscan.Is(t.name, "FileType"):
		o.fileType = t.value
	case jsonscan.Is(t.name, "contentType"):
		o.mediaType = t.value
	case jsonscan.Is(t.name, "resourceType"):
		o.resourceType = t.value
		o.resources++
	}
}

// model finds the files of an object of a data model: Media.FileContents, Note.FileContents
// whose ContentType is "Base64 Encoded", and Orders[].Results[].Value whose ValueType is
// "Encapsulated Data" (Redox, Transferring files).
func (f *finder) model(o *holder) {
	for _, t := range o.large { // a name may be there twice: both give way
		holds := false
		switch {
		case t.listed:
		case jsonscan.Is(f.dataModel, "Media"):
			holds = jsonscan.Is(t.name, "FileContents") && f.in(step{jsontext.Value(`"Media"`), 0})
		case jsonscan.Is(f.dataModel, "Notes"):
			holds = jsonscan.Is(t.name, "FileContents") && jsonscan.Is(o.contentType, "Base64 Encoded") && f.in(step{jsontext.Value(`"Note"`), 0})
		case jsonscan.Is(f.dataModel, "Results"):
			holds = jsonscan.Is(t.name, "Value") && jsonscan.Is(o.valueType, "Encapsulated Data") &&
				f.in(step{jsontext.Value(`"Orders"`), 1}, step{jsontext.Value(`"Results"`), 1})
		}
		if !holds {
			f.elsewhere(t)
			continue
		}
		f.file(t, span{}, mediaTypes[strings.ToLower(jsonscan.Unquote(o.fileType))])
	}
}

// in reports whether the object that is being read is at a place in the message.
func (f *finder) in(place ...step) bool {
	return slices.EqualFunc(f.path[1:], place, func(a, b step) bool {
		return a.lists == b.lists && jsonscan.Is(a.name, string(b.name[1:len(b.name)-1]))
	})
}

// file takes a string for a file that is to be uploaded, if it is one and large.
func (f *finder) file(t stringAt, name span, media string) {
	e, ok := jsonscan.Measure(t.value[1 : len(t.value)-1])
	switch {
	case ok && e.Size > f.over:
		f.found.files = append(f.found.files, attachment{start: t.at.start, end: t.at.end, Embedded: e, media: media, name: name})
	case !ok && !isReference(t.value):
		f.leave(leftNotBase64)
	}
}

// elsewhere counts a string that is certainly a file and stands where none is known to stand.
func (f *finder) elsewhere(t stringAt) {
	e, ok := jsonscan.Measure(t.value[1 : len(t.value)-1])
	if ok && e.Size > f.over && e.Plain() || strings.EqualFold(scheme(t.value), "data") {
		f.leave(leftUnknownPlace)
	}
}

// isReference reports whether a string is the URI of a file, which is then where it belongs. A data
// URI is the file.
func isReference(quoted jsontext.Value) bool {
	of := scheme(quoted)
	return of != "" && !strings.EqualFold(of, "data")
}

// scheme is what a string begins with that may be a URI; "" for none.
func scheme(quoted jsontext.Value) string {
	const longest = 16
	of, _, found := bytes.Cut(quoted[1:min(len(quoted), longest)], []byte(":"))
	if !found {
		return ""
	}
	return string(of)
}

// edit replaces body[start:end] by text.
type edit struct {
	start, end int
	text       []byte
}

// edited is body after the edits, which come in any order and do not overlap. One edit copies
// nothing of the body.
func edited(body []byte, edits []edit) httpwire.Pieces {
	switch len(edits) {
	case 0:
		return httpwire.Pieces{body}
	case 1:
		e := edits[0]
		return httpwire.Pieces{body[:e.start], e.text, body[e.end:]}
	}
	slices.SortFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	return httpwire.Pieces{splice(body, edits)}
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
