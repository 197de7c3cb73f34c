package bulkexport

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Media types of Bulk Data Access.
const (
	fhirJSON = "application/fhir+json"
	asJSON   = "application/json"
	asLines  = "application/fhir+ndjson"
)

// Request is what an export is to hold. All but Path narrow it.
type Request struct {
	// Path ends in $export: SLUG/Production/$export for all there is, …/Patient/$export for all
	// patients, …/Group/ID/$export for those of a group.
	Path string
	// Types are the types of resources (_type).
	Types []string
	// Since leaves out what has not changed since then (_since), and asks for what was deleted.
	Since time.Time
	// Filters are searches that resources of a type must match (_typeFilter):
	// "Observation?category=laboratory".
	Filters []string
	// Elements are the elements that resources are cut down to (_elements).
	Elements []string
	// OutputFormat is _outputFormat. Empty leaves it out; it is NDJSON anyhow.
	OutputFormat string
	// More are further parameters.
	More url.Values
	// Post sends the parameters in the body of a POST instead of in the query string, which
	// gateways may log.
	Post bool
}

// Validate reports every field that no server could take.
func (r Request) Validate() error {
	var errs []error
	path, _, _ := strings.Cut(r.Path, "?")
	if path != "$export" && !strings.HasSuffix(path, "/$export") {
		errs = append(errs, errors.New("bulkexport: the path does not end in $export"))
	}
	for _, t := range r.Types {
		if !isType(t) {
			errs = append(errs, errors.New("bulkexport: a type is no name of a resource type, such as Patient"))
		}
	}
	if slices.Contains(append(slices.Clone(r.Filters), r.Elements...), "") {
		errs = append(errs, errors.New("bulkexport: a filter or an element is empty"))
	}
	if r.Post && path != r.Path {
		errs = append(errs, errors.New("bulkexport: a POST has its parameters in the body, not in the path"))
	}
	for name := range r.More {
		switch name {
		case "", "_type", "_since", "_typeFilter", "_elements", "_outputFormat":
			errs = append(errs, fmt.Errorf("bulkexport: parameter %q has a field of its own", name))
		}
	}
	return errors.Join(errs...)
}

// isType reports whether text has the form of the name of a resource type.
func isType(text string) bool {
	if text == "" || len(text) > 64 || text[0] < 'A' || text[0] > 'Z' {
		return false
	}
	return !strings.ContainsFunc(text, func(c rune) bool { return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') })
}

// parameters are those of the request.
func (r Request) parameters() url.Values {
	p := url.Values{}
	maps.Copy(p, r.More)
	if len(r.Types) > 0 {
		p.Set("_type", strings.Join(r.Types, ","))
	}
	if !r.Since.IsZero() {
		p.Set("_since", r.Since.Format(time.RFC3339Nano))
	}
	if len(r.Filters) > 0 {
		p["_typeFilter"] = r.Filters
	}
	if len(r.Elements) > 0 {
		p.Set("_elements", strings.Join(r.Elements, ","))
	}
	if r.OutputFormat != "" {
		p.Set("_outputFormat", r.OutputFormat)
	}
	return p
}

// fingerprint tells exports apart without saying anything of them.
func (r Request) fingerprint(source string) string {
	text := fmt.Sprintf("%q %q %q %v", source, r.Path, r.parameters().Encode(), r.Post)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// message is the one that begins the export.
func (r Request) message() (outbox.Message, error) {
	m := outbox.Message{Method: http.MethodGet, Path: r.Path, Accept: fhirJSON, Header: http.Header{"Prefer": {"respond-async"}}}
	p := r.parameters()
	switch {
	case r.Post:
		body, err := json.Marshal(parametersOf(p))
		if err != nil {
			return m, err
		}
		m.Method, m.ContentType, m.Body = http.MethodPost, fhirJSON, body
	case len(p) > 0 && strings.Contains(r.Path, "?"):
		m.Path += "&" + p.Encode()
	case len(p) > 0:
		m.Path += "?" + p.Encode()
	}
	return m, nil
}

// parametersResource is FHIR's Parameters.
type parametersResource struct {
	ResourceType string      `json:"resourceType"`
	Parameter    []parameter `json:"parameter"`
}

type parameter struct {
	Name    string `json:"name"`
	Text    string `json:"valueString,omitempty"`
	Instant string `json:"valueInstant,omitempty"`
}

func parametersOf(values url.Values) parametersResource {
	p := parametersResource{ResourceType: "Parameters", Parameter: []parameter{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, v := range values[name] {
			one := parameter{Name: name, Text: v}
			if name == "_since" {
				one = parameter{Name: name, Instant: v}
			}
			p.Parameter = append(p.Parameter, one)
		}
	}
	return p
}
