package redoxsim

import (
	"net/http"
	"strings"
	"testing"
)

// What Redox does not document and a destination may have is answered as FHIR R4 says.
func TestFHIR_REST(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	const patient, parameters = `{"resourceType":"Patient","id":"1"}`, `{"resourceType":"Parameters"}`
	with := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		method, path, text string
		header             http.Header
		want               int
		headers            string // names of those it has to have
		body               string // it has to hold
	}{
		"create":                          {"POST", "Patient", patient, nil, 201, "Location Etag Last-Modified", `"Patient"`},
		"create, nothing back":            {"POST", "Patient", patient, with("Prefer", "return=minimal"), 201, "Location", ""},
		"create, unless it exists":        {"POST", "Patient", patient, with("If-None-Exist", "identifier=x"), 201, "Location", `"Patient"`},
		"create, and it exists":           {"POST", "Patient", patient, with("If-None-Exist", "identifier="+existing), 200, "Location", `"Patient"`},
		"create another":                  {"POST", "Observation", patient, nil, 400, "", "Observation"},
		"create, no FHIR":                 {"POST", "Patient", patient, with("Content-Type", "application/json"), 400, "", "Content-Type"},
		"read":                            {"GET", "Patient/1", "", nil, 200, "Etag", `"versionId":"1"`},
		"read, known":                     {"GET", "Patient/1", "", with("If-None-Match", `W/"1"`), 304, "Etag", ""},
		"read, changed":                   {"GET", "Patient/1", "", with("If-None-Match", `W/"0"`), 200, "Etag", `"Patient"`},
		"vread":                           {"GET", "Patient/1/_history/7", "", nil, 200, "Etag", `"versionId":"7"`},
		"history":                         {"GET", "Patient/1/_history", "", nil, 200, "", `"type":"history"`},
		"update":                          {"PUT", "Patient/1", patient, nil, 200, "Etag", `"versionId":"2"`},
		"update, of the version":          {"PUT", "Patient/1", patient, with("If-Match", `W/"1"`), 200, "Etag", ""},
		"update, of another version":      {"PUT", "Patient/1", patient, with("If-Match", `W/"9"`), 412, "", `"conflict"`},
		"update, if there is none":        {"PUT", "Patient/1", patient, with("If-None-Match", "*"), 412, "", ""},
		"update of another id":            {"PUT", "Patient/2", patient, nil, 400, "", ""},
		"update on condition":             {"PUT", "Patient?identifier=" + existing, patient, nil, 200, "", ""},
		"update on condition, a new one":  {"PUT", "Patient?identifier=x", patient, nil, 201, "Location", ""},
		"update without condition":        {"PUT", "Patient", patient, nil, 400, "", ""},
		"patch":                           {"PATCH", "Patient/1", "[]", with("Content-Type", "application/json-patch+json"), 200, "Etag", ""},
		"patch, no list":                  {"PATCH", "Patient/1", "{}", with("Content-Type", "application/json-patch+json"), 400, "", ""},
		"patch by Parameters":             {"PATCH", "Patient/1", parameters, nil, 200, "Etag", ""},
		"patch by what is none":           {"PATCH", "Patient/1", patient, nil, 400, "", ""},
		"patch of another version":        {"PATCH", "Patient/1", "[]", with("Content-Type", "application/json-patch+json", "If-Match", `W/"9"`), 412, "", ""},
		"delete":                          {"DELETE", "Patient/1", "", nil, 204, "", ""},
		"delete of another version":       {"DELETE", "Patient/1", "", with("If-Match", `W/"9"`), 412, "", ""},
		"delete on condition":             {"DELETE", "Patient?identifier=x", "", nil, 204, "", ""},
		"delete with a body":              {"DELETE", "Patient/1", "{}", nil, 400, "", ""},
		"transaction":                     {"POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"POST","url":"Patient"}},{"request":{"method":"GET","url":"Patient/1"}}]}`, nil, 200, "", `"transaction-response"`},
		"batch":                           {"POST", "", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"DELETE","url":"Patient/1"}}]}`, nil, 200, "", `"204 No Content"`},
		"transaction that is a message":   {"POST", "", `{"resourceType":"Bundle","type":"message"}`, nil, 400, "", ""},
		"transaction that asks nothing":   {"POST", "", `{"resourceType":"Bundle","type":"batch","entry":[{}]}`, nil, 400, "", ""},
		"capabilities":                    {"GET", "metadata", "", nil, 200, "", `"CapabilityStatement"`},
		"Binary that is updated":          {"PUT", "Binary/1", "%PDF", with("Content-Type", "application/pdf"), 200, "Etag", ""},
		"Binary that nobody has sent":     {"GET", "Binary/1", "", with("Accept", "application/pdf"), 200, "", "%PDF"},
		"Binary as a resource":            {"GET", "Binary/1", "", nil, 200, "", `"Binary"`},
		"a search whose form is the URL":  {"POST", "Patient/_search?family=x", "", formType, 200, "", `"searchset"`},
		"a search with half of it there":  {"POST", "Patient/_search?family=x", "given=y", formType, 200, "", `"searchset"`},
		"a search in the URL, half empty": {"POST", "Patient/_search?family=", "given=y", formType, 400, "", ""},
	} {
		path := strings.TrimSuffix(PathFHIR+"hospital/Staging/"+c.path, "/")
		r := g.fhir(c.method, path, c.text, c.header)
		if r.status != c.want || !strings.Contains(r.body, c.body) || c.body == "" && r.status < 300 && strings.Contains(name, "nothing") && r.body != "" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		for h := range strings.FieldsSeq(c.headers) {
			if r.header.Get(h) == "" {
				t.Errorf("%s: no %s", name, h)
			}
		}
		if a := g.last(); r.status < 400 != a.Accepted {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
