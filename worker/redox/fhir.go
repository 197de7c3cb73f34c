package redox

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// Media types of FHIR (FHIR R4, RESTful API).
var (
	fhirType = []string{"application/fhir+json"}
	formType = []string{"application/x-www-form-urlencoded"}
)

// fhirEnvironments are the environments as FHIR paths spell them; upper and lower case
// matter there (Redox, FHIR API).
var fhirEnvironments = map[string]string{
	envDevelopment: "Development", envStaging: "Staging", envProduction: "Production",
}

// fhir makes the request of a read, a search or a writeback to the FHIR API. The message's
// path begins with the destination's slug and the environment.
func (c *Client) fhir(ctx context.Context, out *call, m *outbox.Message) *Error {
	if err := out.sender.guardFHIR(m); err != nil {
		return err
	}
	out.sourceID = out.sender.idHeader
	usual := media{fhirType, fhirType}
	if isSearch(m) {
		usual.content = formType
	}
	return c.routed(ctx, out, m, c.targets.fhir, usual)
}

// guardFHIR holds a message of one environment back from another. The path is read as
// Redox will read it, so that no escape hides the environment.
func (s *sender) guardFHIR(m *outbox.Message) *Error {
	if err := outbox.CheckPath(m.Path); err != nil {
		return nil // routed says so
	}
	want := fhirEnvironments[s.Environment]
	segments := strings.SplitN(resourcePath(m.Path), "/", 3)
	if len(segments) < 2 || segments[0] == "" || segments[1] == "" {
		return guarded("the path names no environment; it begins with the destination's slug and the environment, as in slug/" + want + "/Patient/1")
	}
	if got, err := url.PathUnescape(segments[1]); err != nil || got != want {
		return guarded("the environment behind the slug is not that of the source, " + want + " (upper and lower case matter)")
	}
	return s.guardSender(m)
}

// guardSender refuses a writeback that says it comes from another source. Redox takes the
// Source ID of a writeback from its MessageHeader (Redox, Source ID); an endpoint that is
// no Source ID is left alone.
func (s *sender) guardSender(m *outbox.Message) *Error {
	if len(m.Body) == 0 || s.ID == "" || s.AllowOtherSource || m.ContentType != "" && !isJSON(m.ContentType) || isSearch(m) {
		return nil
	}
	for _, endpoint := range messageSenders(m.Body) {
		id := endpoint
		if n := len(uuidURN); len(id) > n && strings.EqualFold(id[:n], uuidURN) {
			id = id[n:]
		}
		if isUUID(id) && !strings.EqualFold(id, s.ID) {
			return guarded("MessageHeader.source.endpoint is not the Source ID of the source")
		}
	}
	return nil
}

// uuidURN begins a UUID as a URN; upper and lower case do not matter (RFC 8141, section 3.1).
const uuidURN = "urn:uuid:"

// isSearch reports whether m is a search whose parameters are in a form (FHIR R4, search).
func isSearch(m *outbox.Message) bool {
	path := resourcePath(m.Path)
	return methodOf(m) == http.MethodPost && path[strings.LastIndexByte(path, '/')+1:] == "_search"
}

// resourcePath is the path without a first slash and without the query string.
func resourcePath(ref string) string {
	path, _, _ := strings.Cut(ref, "?")
	return strings.TrimPrefix(path, "/")
}

// isUUID reports whether s has the form 8-4-4-4-12 hex digits.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !jsonscan.IsHex(c) {
			return false
		}
	}
	return true
}

// messageSenders are the source.endpoint of every MessageHeader in a message Bundle. There
// should be one; of several, or of a name that is there twice, nobody knows which counts for
// Redox. It is read leniently: what is no JSON is found elsewhere.
func messageSenders(body []byte) []string {
	s := jsonscan.Scan(body, jsonscan.LenientJSON...)
	defer s.Release()
	var all []string
	_ = s.Each(func(name jsontext.Value) error {
		if !jsonscan.Is(name, "entry") {
			return s.Skip()
		}
		return s.List(func() error {
			return s.Each(func(name jsontext.Value) error {
				if !jsonscan.Is(name, "resource") {
					return s.Skip()
				}
				found, err := readSenders(s)
				all = append(all, found...)
				return err
			})
		})
	})
	return all
}

// readSenders reads one resource. resourceType may stand behind source.
func readSenders(s *jsonscan.Scanner) (endpoints []string, err error) {
	var header bool
	err = s.Each(func(name jsontext.Value) error {
		switch {
		case jsonscan.Is(name, "resourceType"):
			v, err := s.Read()
			header = header || v.Kind() == '"' && jsonscan.Is(v, "MessageHeader")
			return err
		case jsonscan.Is(name, "source"):
			return s.Each(func(name jsontext.Value) error {
				v, err := s.Read()
				if jsonscan.Is(name, "endpoint") && v.Kind() == '"' {
					endpoints = append(endpoints, jsonscan.Unquote(v))
				}
				return err
			})
		}
		return s.Skip()
	})
	if !header {
		endpoints = nil
	}
	return endpoints, err
}
