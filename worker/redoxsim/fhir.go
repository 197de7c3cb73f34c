package redoxsim

import (
	"crypto/rand"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// fhirTarget is what the path of a FHIR request names (Redox, FHIR API: /fhir/R4/{slug}/{environment}/...).
type fhirTarget struct {
	slug, environment string
	resource          string
	id                string // of a read
	operation         string // "read", "_search", or a writeback such as "$patient-update"
}

// parseFHIRPath takes a path apart that begins with PathFHIR, as it was sent. Every part is case sensitive. GET with
// search parameters, updates, deletes and operations on one resource are not documented, and not found here.
func parseFHIRPath(method, escaped string) (*fhirTarget, bool) {
	rest, ok := strings.CutPrefix(escaped, PathFHIR)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 4 {
		return nil, false
	}
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil || !plain(text) {
			return nil, false
		}
		parts[i] = text
	}
	f := &fhirTarget{slug: parts[0], environment: parts[1], resource: parts[2], operation: parts[3]}
	switch f.environment {
	case "Development", "Staging", "Production":
	default:
		return nil, false
	}
	if !fhirResources[f.resource] {
		return nil, false
	}
	switch last := parts[3]; {
	case method == http.MethodGet && last[0] != '_' && last[0] != '$' && len(last) <= 64:
		f.id, f.operation = last, "read"
		return f, !strings.ContainsAny(last, "_$")
	case method == http.MethodPost && last == "_search":
		return f, true
	}
	return f, method == http.MethodPost && isWriteback(f.operation)
}

// isWriteback knows the form of Redox's operations. There is no generic $process-message.
func isWriteback(operation string) bool {
	name, ok := strings.CutPrefix(operation, "$")
	if !ok || name == "" || name == "process-message" {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
}

// plain says that a part of a path is made of letters, digits and - . _ $, and is no step to another directory.
func plain(part string) bool {
	if strings.Trim(part, ".") == "" {
		return false
	}
	return !strings.ContainsFunc(part, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._$", r)
	})
}

// identifyFHIR reads the path, the message Bundle of a writeback and the token, and counts the attempt.
func (x *exchange) identifyFHIR() {
	x.msg, x.path = &message{}, x.r.Method+" "+x.r.URL.Path
	target, ok := parseFHIRPath(x.r.Method, x.r.URL.EscapedPath())
	if !ok {
		x.complaint = &complaint{http.StatusNotFound, "Not found: the path is /fhir/R4/{slug}/{environment}/{resource}/...", "", ""}
	}
	if ok {
		x.fhir = target
		if isWriteback(target.operation) {
			x.msg, x.complaint = parseBundle(x.body, target.operation)
		}
		x.query = !isWriteback(target.operation)
		x.msg.dataModel, x.msg.eventType = "FHIR."+target.resource, target.operation
	}
	x.bearer(orgKey) // legacy keys are for the Data Model API alone (Redox, Legacy API keys)
	x.findSource()
	x.count()
}

// serveFHIR answers a FHIR request.
func (s *Server) serveFHIR(x *exchange) answer {
	if x.state != TokenValid {
		return unauthorized("the token is " + string(x.state))
	}
	if c := s.judgeFHIR(x); c != nil {
		return s.complain(x, c)
	}
	if !x.query {
		return s.answerWriteback(x)
	}
	if s.Answer != nil {
		if body := s.Answer(x.request()); body != nil {
			return answer{status: http.StatusOK, contentType: fhirType, body: body, accepted: true, logIDs: x.newLogs()}
		}
	}
	return s.answerFHIR(x)
}

// judgeFHIR checks in this order: path, destination, source, form (inferred).
func (s *Server) judgeFHIR(x *exchange) *complaint {
	if x.fhir == nil {
		return x.complaint
	}
	found, ok := s.dir.bySlug(x.fhir.slug)
	if !ok {
		return &complaint{http.StatusNotFound, "Not found: no destination has this slug", "", ""}
	}
	if !found.takes(x.msg.dataModel) {
		return &complaint{http.StatusForbidden, "The destination has no subscription for " + x.msg.dataModel, "", ""}
	}
	x.msg.destinations = []Destination{found}
	if x.query || x.complaint == nil {
		if c := s.judgeFHIRSource(x); c != nil {
			return c
		}
	}
	if c := judgeFHIRForm(x); c != nil {
		return c
	}
	return x.complaint
}

// judgeFHIRSource applies Redox's newest page (Source ID, 2025): queries name the source in the header, writebacks in
// the MessageHeader. Another page of that year wants the header on every request, so both are read; where an id is
// needed, the header alone does not do for a writeback (inferred, the harsher reading).
func (s *Server) judgeFHIRSource(x *exchange) *complaint {
	rule := sourceRule{field: "header Redox-Source-Id"}
	if !x.query {
		rule = sourceRule{field: "MessageHeader.source.endpoint", inBody: true}
	}
	if c := s.judgeSource(x, rule); c != nil {
		return c
	}
	if env := s.dir.environmentOf(x.source); env != "" && env != x.fhir.environment {
		return &complaint{http.StatusForbidden, "The source does not belong to this environment", "", ""}
	}
	return nil
}

// judgeFHIRForm checks the headers and the body of a search.
func judgeFHIRForm(x *exchange) *complaint {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	switch {
	case !acceptsFHIR(x.r.Header.Values("Accept")):
		return malformed("Accept does not allow application/fhir+json")
	case x.r.Header.Get("Content-Encoding") != "":
		return malformed("Content-Encoding is not supported")
	case x.fhir.operation == "read":
		if len(x.body) > 0 {
			return malformed("A read has no body")
		}
		return nil
	case x.fhir.operation == "_search":
		if err != nil || media != "application/x-www-form-urlencoded" {
			return malformed("Content-Type of a search is not application/x-www-form-urlencoded")
		}
		return judgeSearch(x.body)
	case err != nil || media != "application/fhir+json":
		return malformed("Content-Type is not application/fhir+json")
	}
	return nil
}

// judgeSearch wants a form whose parameters all have a name and a value. A search for everything is refused (inferred:
// no hospital answers it).
func judgeSearch(body []byte) *complaint {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return malformed("The search is not a form")
	}
	if len(form) == 0 {
		return malformed("The search has no parameters")
	}
	for name, values := range form {
		for _, v := range values {
			if name == "" || v == "" {
				return malformed("A search parameter has no name or no value")
			}
		}
	}
	return nil
}

// acceptsFHIR reads the Accept headers. application/json alone is not enough (inferred, the harsher reading).
func acceptsFHIR(values []string) bool {
	if len(values) == 0 {
		return true
	}
	for _, v := range strings.Split(strings.Join(values, ","), ",") {
		media, params, err := mime.ParseMediaType(v)
		if err != nil || params["q"] == "0" {
			continue
		}
		switch media {
		case "application/fhir+json", "application/*", "*/*":
			return true
		}
	}
	return false
}

// synthetic is a made-up resource. The people in it do not exist.
func (f *fhirTarget) synthetic(id string) json.RawMessage {
	r := map[string]any{"resourceType": f.resource, "id": id, "meta": map[string]string{"lastUpdated": "2024-01-01T09:00:00.000Z"}}
	if f.resource == "Patient" {
		r["identifier"] = []map[string]string{{"system": "urn:redox:sim", "value": "SIM0000001"}}
		r["name"] = []map[string]any{{"family": "Patient", "given": []string{"Sim"}}}
		r["birthDate"], r["gender"] = "1980-01-01", "other"
	}
	text, err := json.Marshal(r)
	if err != nil { // cannot be: it is made of texts
		return nil
	}
	return text
}

// answerFHIR answers a read with a resource and a search with a Bundle of one.
func (s *Server) answerFHIR(x *exchange) answer {
	a := answer{status: http.StatusOK, contentType: fhirType}
	if x.fhir.operation == "read" {
		a.body = x.fhir.synthetic(x.fhir.id)
	} else {
		id := "sim-" + strings.ToLower(x.fhir.resource) + "-1"
		base := schemeOf(x.r) + x.r.Host + PathFHIR + x.fhir.slug + "/" + x.fhir.environment + "/" + x.fhir.resource
		a = fhirAnswer(http.StatusOK, bundle{
			ResourceType: "Bundle", Type: "searchset", Total: 1, Link: []bundleLink{{"self", base + "/_search"}},
			Entry: []bundleEntry{{FullURL: base + "/" + id, Resource: x.fhir.synthetic(id), Search: &searchMode{"match"}}},
		})
	}
	a.accepted, a.logIDs = true, x.newLogs()
	return a
}

// answerWriteback answers as the sandbox was seen to: a Bundle whose entry says 201 Created. The id of the log is in no
// header and no body: none was found at Redox.
func (s *Server) answerWriteback(x *exchange) answer {
	a := fhirAnswer(http.StatusOK, bundle{
		ResourceType: "Bundle", Type: "transaction-response",
		Entry: []bundleEntry{{Response: &entryResponse{"201 Created", x.fhir.resource + "/" + strings.ToLower(rand.Text())}}},
	})
	a.accepted, a.logIDs = true, x.newLogs()
	return a
}

// newLogs makes the ids of the logs of a request: one for each destination.
func (x *exchange) newLogs() []string {
	ids := make([]string, len(x.msg.destinations))
	for i := range ids {
		ids[i] = uuid()
	}
	return ids
}
