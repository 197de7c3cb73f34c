package redox

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// CheckBody refuses a body that every worker would refuse because it is not the JSON text
// that the message says it is: of kind data-model, a JSON object; of fhir and platform, JSON
// unless Content-Type or the path says otherwise. Other kinds have any body, and fhir and
// platform may have none. A byte order mark in front is passed over.
//
// The error says what is wrong and where, as the dead letter would, and quotes nothing of
// the body. CheckBody is safe for concurrent use.
func CheckBody(m outbox.Message) error {
	if !isText(&m) {
		return nil
	}
	body := contract.WithoutMark(m.Body)
	broken := checkJSON(body)
	if broken == nil && m.Kind != outbox.KindFHIR && m.Kind != outbox.KindPlatform {
		if bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
			broken = poison(notAnObject)
		}
	}
	if broken != nil {
		return errors.New(broken.detail)
	}
	return nil
}

const notAnObject = "the body is not a JSON object"

// isText reports whether the body of a message is to be JSON.
func isText(m *outbox.Message) bool {
	switch m.Kind {
	case outbox.KindDataModel, "":
		return true
	case outbox.KindFHIR, outbox.KindPlatform:
		return len(m.Body) > 0 && saysJSON(m)
	}
	return false
}

// saysJSON reports whether a message of kind fhir or platform says that its body is JSON, if it has
// one.
func saysJSON(m *outbox.Message) bool {
	if m.ContentType == "" {
		return m.Kind == outbox.KindPlatform || !isSearch(m)
	}
	return isJSON(m.ContentType)
}

// checkJSON refuses a body that is not one JSON text.
func checkJSON(body []byte) *Error {
	if broken := checkText(body); broken != nil {
		return broken
	}
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	err := s.Skip()
	if err == nil {
		err = s.End()
	}
	if err != nil {
		return notJSON(s, err)
	}
	return nil
}

// checkText refuses what is no text in UTF-8.
func checkText(body []byte) *Error {
	switch {
	case len(bytes.TrimLeft(body, " \t\r\n")) == 0:
		return poison("the body is empty")
	case len(body) > 1 && (body[0] == 0xff && body[1] == 0xfe || body[0] == 0xfe && body[1] == 0xff || (body[0] == 0) != (body[1] == 0)):
		return poison("the body is in UTF-16: save it as UTF-8")
	case !utf8.Valid(body):
		at := 0
		for r, size := utf8.DecodeRune(body); r != utf8.RuneError || size > 1; r, size = utf8.DecodeRune(body[at:]) {
			at += size
		}
		return badByte(at)
	}
	return nil
}

// badByte tells the place at which a text stops being JSON, counted from 1.
func badByte(at int) *Error {
	return poison("the body is not valid JSON in UTF-8, at byte " + strconv.Itoa(at+1))
}

// maxDepth is how deep a message may nest, which is what the decoder reads.
const maxDepth = 10_000

// notJSON says where the text stops being JSON. It drops err's text, which quotes it.
func notJSON(s *jsonscan.Scanner, err error) *Error {
	at := int64(s.Offset())
	if errors.Is(err, jsonscan.ErrTrailing) {
		at = int64(jsonscan.SkipSpaces(s.Whole, int(at)))
	}
	if syntax := (*jsontext.SyntacticError)(nil); errors.As(err, &syntax) {
		at = syntax.ByteOffset
		if isTooDeep(s.Whole, int(at)) {
			return poison("the body is nested deeper than " + strconv.Itoa(maxDepth))
		}
	}
	return badByte(int(at))
}

// isTooDeep reports whether the JSON of a text is nested deeper than maxDepth at a place up to
// which it is JSON.
func isTooDeep(text []byte, at int) bool {
	depth, quoted := 0, false
	for i := 0; i <= at && i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			depth--
		}
	}
	return depth > maxDepth
}

// isSearch reports whether m is a search whose parameters are in a form (FHIR R4, search).
func isSearch(m *outbox.Message) bool {
	return methodOf(m) == http.MethodPost && lastSegment(m.Path) == "_search"
}

// isJSON reports whether a media type says JSON (RFC 6839: also what ends in +json).
func isJSON(mediaType string) bool {
	kind, _, err := mime.ParseMediaType(mediaType)
	return err == nil && (kind == jsonType[0] || strings.HasSuffix(kind, "+json"))
}

// methodOf is the method of a message, or its default.
func methodOf(m *outbox.Message) string {
	switch {
	case m.Method != "":
		return m.Method
	case len(m.Body) == 0:
		return http.MethodGet
	}
	return http.MethodPost
}

// lastSegment is the end of a path as Redox will read it: "$patient-update", say, or "_search".
func lastSegment(ref string) string {
	path := strings.TrimSuffix(resourcePath(ref), "/")
	last := path[strings.LastIndexByte(path, '/')+1:]
	if plain, err := url.PathUnescape(last); err == nil {
		return plain
	}
	return last
}
