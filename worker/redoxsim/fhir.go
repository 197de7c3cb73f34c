package redoxsim

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// identifyFHIR reads the path, the message Bundle of a writeback and the token, and counts the attempt.
func (x *exchange) identifyFHIR() {
	x.msg, x.path = &message{}, x.r.Method+" "+x.r.URL.Path
	target, ok := fhirpath.Parse(x.r.Method, x.r.URL.EscapedPath())
	if !ok {
		x.complaint = notFound(x.r.Method, target)
	}
	if ok {
		x.fhir = &fhirTarget{*target}
		if x.query = target.IsQuery(); !x.query {
			x.msg, x.complaint = parseBundle(x.body, target.Operation, x.s.Lax)
		}
		x.msg.dataModel, x.msg.eventType = "FHIR."+target.Resource, target.Operation
	}
	x.bearer(orgKey) // legacy keys are for the Data Model API alone (Redox, Legacy API keys)
	x.findSource()
	x.count()
}

// Words of complaints that are no plain OperationOutcome, as recorded (2024). They stand for the module.
const (
	wordsParser   = "Parser"        // Meta.Errors with a log, as in the Data Model API
	wordsNoModule = "MSG_NO_MODULE" // a fatal issue of that coding
	wordsNone     = "none"          // no body
)

// notFound is what a path that is no request of FHIR is answered: nothing at all to a POST to one resource, and
// elsewhere a text that speaks of the slug, whatever is wrong.
func notFound(method string, target *fhirpath.Target) *complaint {
	words := wordsNoModule
	if method == http.MethodPost && target != nil && fhirpath.Resources[target.Resource] && fhirpath.IsID(target.Operation) {
		words = wordsNone
	}
	return &complaint{http.StatusNotFound, "Unknown slug: the path is /fhir/R4/{slug}/{environment}/{resource}/...", words, ""}
}

// complainFHIR words a complaint.
func (s *Server) complainFHIR(x *exchange, c *complaint) answer {
	a := outcomeAnswer(c.status, c.text)
	switch c.module {
	case wordsNone:
		a.body, a.contentType = nil, ""
	case wordsNoModule:
		a = fhirAnswer(c.status, operationOutcome{"OperationOutcome", []issue{{
			Severity: "fatal", Code: "not-found", Details: issueText{Text: c.text, Coding: []issueCoding{{"http://hl7.org/fhir/operation-outcome", wordsNoModule}}},
		}}})
	case wordsParser:
		ids := x.newLogs()
		meta := answerMeta{Source: &idName{ID: x.source}, Errors: []errorItem{{Text: c.text, Type: "message", Module: wordsParser}}}
		for _, id := range ids {
			meta.Logs = append(meta.Logs, logRef{id, uuid()})
		}
		a = jsonAnswer(c.status, struct{ Meta answerMeta }{meta})
		a.logIDs = ids
	}
	if a.reason = c.reason; a.reason == "" {
		a.reason = c.text
	}
	return a
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
	found, ok := s.dir.bySlug(x.fhir.Slug)
	if !ok {
		return &complaint{http.StatusNotFound, "Unknown slug", wordsNoModule, "no destination has this slug"}
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
	if !x.query && x.fhir.Foreign() { // recorded (2024), with whatever body
		return &complaint{http.StatusBadRequest, "Invalid data model and/or event type.", wordsParser, "the operation is of another resource"}
	}
	if c := s.judgeFHIRForm(x); c != nil {
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
	if env := s.dir.environmentOf(x.source); env != "" && env != x.fhir.Environment {
		return &complaint{http.StatusForbidden, "The source does not belong to this environment", "", ""}
	}
	return nil
}

// judgeFHIRForm checks the headers and the body of a search. With [Server.Lax] a body needs no Content-Type, JSON may be
// called so, a search needs no parameters, and a read may have a body (recorded 2024).
func (s *Server) judgeFHIRForm(x *exchange) *complaint {
	media, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	switch {
	case x.fhir.AnyForm():
		return x.fhir.judgeBulk(x.r)
	case !acceptsFHIR(x.r.Header.Values("Accept")):
		return malformed("Accept does not allow application/fhir+json")
	case x.r.Header.Get("Content-Encoding") != "":
		return malformed("Content-Encoding is not supported")
	case x.fhir.IsREST():
		return x.judgeREST()
	case s.Lax && (err != nil || media == "application/json" || len(x.body) == 0 || x.fhir.Operation == "read"):
		return nil
	case x.fhir.Operation == "read", x.fhir.Operation == "page":
		if len(x.body) > 0 {
			return malformed("A read has no body")
		}
		return nil
	case x.fhir.Operation == "_search" && x.r.Method == http.MethodGet:
		return judgeSearch([]byte(x.r.URL.RawQuery))
	case x.fhir.Operation == "_search":
		if err != nil || media != "application/x-www-form-urlencoded" {
			return malformed("Content-Type of a search is not application/x-www-form-urlencoded")
		}
		return judgeSearch(x.searched())
	case err != nil || media != "application/fhir+json":
		return malformed("Content-Type is not application/fhir+json")
	case x.fhir.Operation == "$match":
		return judgeMatch(x.body)
	}
	return nil
}

// searched are the parameters of a search, of which a part or all may be in the URL (FHIR R4, search).
func (x *exchange) searched() []byte {
	query := x.r.URL.RawQuery
	if query == "" || len(x.body) == 0 {
		return append([]byte(query), x.body...)
	}
	return append([]byte(query+"&"), x.body...)
}

// judgeMatch wants the Parameters of FHIR's Patient/$match (FHIR R4). Redox's page names the operation and no more.
func judgeMatch(body []byte) *complaint {
	top, ok, isObject := jsonread.Document(body)
	if kind, _ := top.Text("resourceType"); !ok || !isObject || kind != "Parameters" {
		return malformed("The body is not Parameters")
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
