package redoxsim

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Interactions of FHIR's RESTful API that Redox does not document and a destination may have (FHIR R4, http.html;
// inferred). Nothing is kept: each resource that is asked for exists, in version 1.
const (
	create       = "create" // createBinary, for all other resources
	update       = "update"
	patch        = "patch"
	remove       = "delete"
	history      = "_history"
	transaction  = "transaction"
	capabilities = "metadata"
)

// existing is the identifier of the made-up patient: whoever looks for it on condition finds that one.
const existing = "SIM0000001"

// parseREST reads a path of these interactions. Subscriptions are made elsewhere at Redox.
func (f *fhirTarget) parseREST(method string, parts []string) bool {
	if len(parts) == 0 {
		f.resource, f.operation = "Bundle", transaction
		return method == http.MethodPost
	}
	if len(parts) == 1 && parts[0] == capabilities && method == http.MethodGet {
		f.resource, f.operation = "CapabilityStatement", capabilities
		return true
	}
	if !fhirResources[f.resource] || f.resource == "Subscription" {
		return false
	}
	one := len(parts) >= 2 && isID(parts[1])
	if one {
		f.id = parts[1]
	}
	switch {
	case len(parts) == 2 && parts[1] == history, len(parts) == 3 && one && parts[2] == history:
		f.operation = history
		return method == http.MethodGet
	case len(parts) > 2 || len(parts) == 2 && !one:
		return false
	}
	f.operation = map[string]string{http.MethodPut: update, http.MethodPatch: patch, http.MethodDelete: remove}[method]
	switch {
	case f.operation == "" && !one && method == http.MethodPost:
		f.operation = create
	case f.operation == "" && !one && method == http.MethodGet:
		f.operation = "_search" // Redox's page has searches posted
	}
	return f.operation != ""
}

// isREST says that the request is one of these interactions.
func (f *fhirTarget) isREST() bool {
	return slices.Contains([]string{update, patch, remove, history, transaction, capabilities}, f.operation) || f.operation == create && f.resource != "Binary"
}

// judgeREST checks the body and its type.
func (x *exchange) judgeREST() *complaint {
	f := x.fhir
	media, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	top, ok, isObject := document(x.body)
	kind, _ := jwtMembers(top).text("resourceType")
	switch f.operation {
	case remove, history, capabilities:
		if len(x.body) > 0 {
			return malformed("The request has a body")
		}
		return x.judgeCondition()
	case patch:
		if media == "application/json-patch+json" {
			if _, list := elements(x.body); !ok || !list {
				return malformed("The patch is not a list")
			}
			return x.judgeCondition()
		}
	}
	want := map[string]string{patch: "Parameters", transaction: "Bundle"}[f.operation]
	if want == "" {
		want = f.resource
	}
	id, _ := jwtMembers(top).text("id")
	switch {
	case f.resource == "Binary" && f.operation == update && media != "application/fhir+json":
	case media != "application/fhir+json":
		return malformed("Content-Type is not application/fhir+json")
	case !ok || !isObject || kind != want:
		return malformed("The body is not a resource " + want)
	case f.operation == update && f.id != "" && id != f.id:
		return malformed("The id of the resource is not that of the path")
	case f.operation == transaction:
		return judgeTransaction(top)
	}
	return x.judgeCondition()
}

// judgeCondition knows version 1 of everything. An update or delete on condition is of all that its query finds.
func (x *exchange) judgeCondition() *complaint {
	f, h := x.fhir, x.r.Header
	changes := slices.Contains([]string{update, patch, remove}, f.operation)
	switch match := h.Get("If-Match"); {
	case changes && f.id == "" && x.r.URL.RawQuery == "":
		return malformed("A change on condition has a query")
	case changes && match != "" && match != `W/"1"`, f.operation == update && f.id != "" && h.Get("If-None-Match") == "*":
		return &complaint{http.StatusPreconditionFailed, "The resource has another version", "", ""}
	}
	return nil
}

// judgeTransaction wants a transaction or batch whose entries say what is to be done.
func judgeTransaction(top []member) *complaint {
	kind, _ := jwtMembers(top).text("type")
	if kind != transaction && kind != "batch" {
		return malformed("Bundle.type is not transaction or batch")
	}
	for _, m := range methodsOf(top) {
		if m == "" {
			return malformed("A Bundle.entry has no request with a method and a url")
		}
	}
	return nil
}

// methodsOf are the methods of the entries of a transaction, "" where there is none.
func methodsOf(top []member) (methods []string) {
	entries, _, _ := lookup(top, "entry")
	list, _ := elements(entries)
	for _, entry := range list {
		fields, _ := members(entry)
		value, _, _ := lookup(fields, "request")
		request, _ := members(value)
		method, _ := jwtMembers(request).text("method")
		if url, _ := jwtMembers(request).text("url"); url == "" {
			method = ""
		}
		methods = append(methods, method)
	}
	return methods
}

// answerREST answers one of these interactions.
func (s *Server) answerREST(x *exchange) answer {
	f := x.fhir
	found := strings.Contains(x.r.Header.Get("If-None-Exist")+x.r.URL.RawQuery, existing)
	switch f.operation {
	case create:
		f.id = "sim-" + strings.ToLower(f.resource) + "-1"
		return s.written(x, !found, "1")
	case update, patch:
		if f.id == "" {
			f.id = "sim-" + strings.ToLower(f.resource) + "-1"
			return s.written(x, !found && f.operation == update, "2")
		}
		return s.written(x, false, "2")
	case remove:
		return answer{status: http.StatusNoContent}
	case history:
		return s.answerHistory(f)
	case transaction:
		return s.answerTransaction(x)
	}
	return fhirAnswer(http.StatusOK, map[string]any{
		"resourceType": "CapabilityStatement", "status": "active", "kind": "instance", "fhirVersion": "4.0.1",
		"format": []string{fhirJSON}, "date": s.now().UTC().Format(time.RFC3339),
	})
}

// written is the answer to a create, update or patch: the resource, unless the client would rather not have it.
func (s *Server) written(x *exchange, created bool, version string) answer {
	f := *x.fhir
	f.version = version
	a := answer{status: http.StatusOK, contentType: fhirType, body: f.synthetic(f.id), header: http.Header{
		"Etag": {`W/"` + version + `"`}, "Last-Modified": {s.now().UTC().Format(http.TimeFormat)},
	}}
	if strings.Contains(strings.Join(x.r.Header.Values("Prefer"), ","), "return=minimal") {
		a.contentType, a.body = "", nil
	}
	if created {
		a.status = http.StatusCreated
	}
	if created || f.operation == create {
		a.header["Location"] = []string{f.stored(f.resource, f.id) + "/_history/" + version}
	}
	return a
}

// answerHistory has two versions of a resource, or of the first of its kind.
func (s *Server) answerHistory(f *fhirTarget) answer {
	one := *f
	if one.id == "" {
		one.id = "sim-" + strings.ToLower(f.resource) + "-1"
	}
	b := bundle{ResourceType: "Bundle", Type: "history", Total: 2}
	for _, version := range []string{"2", "1"} {
		one.version = version
		b.Entry = append(b.Entry, bundleEntry{
			FullURL: f.stored(f.resource, one.id), Resource: one.synthetic(one.id),
			Request:  &entryRequest{http.MethodPut, f.resource + "/" + one.id},
			Response: &entryResponse{Status: "200 OK", ETag: `W/"` + version + `"`},
		})
	}
	return fhirAnswer(http.StatusOK, b)
}

// answerTransaction does nothing of what it is asked, and says that all of it is done.
func (s *Server) answerTransaction(x *exchange) answer {
	top, _, _ := document(x.body)
	kind, _ := jwtMembers(top).text("type")
	b := bundle{ResourceType: "Bundle", Type: kind + "-response", Entry: []bundleEntry{}}
	for _, method := range methodsOf(top) {
		e := bundleEntry{Response: &entryResponse{Status: "200 OK", ETag: `W/"1"`}}
		switch method {
		case http.MethodPost:
			e.Response.Status, e.Response.Location = "201 Created", x.fhir.stored("Patient", uuid())+"/_history/1"
		case http.MethodGet:
			one := fhirTarget{resource: "Patient"}
			e.Resource = json.RawMessage(one.synthetic("1"))
		case http.MethodDelete:
			e.Response.Status = "204 No Content"
		}
		b.Entry = append(b.Entry, e)
	}
	return fhirAnswer(http.StatusOK, b)
}
