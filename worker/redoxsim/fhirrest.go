package redoxsim

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

// existing is the identifier of the made-up patient: whoever looks for it on condition finds that one.
const existing = "SIM0000001"

// judgeREST checks the body and its type.
func (x *exchange) judgeREST() *complaint {
	f := x.fhir
	media, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	top, ok, isObject := jsonread.Document(x.body)
	kind, _ := top.Text("resourceType")
	switch f.Operation {
	case fhirpath.Delete, fhirpath.History, fhirpath.Capabilities:
		if len(x.body) > 0 {
			return malformed("The request has a body")
		}
		return x.judgeCondition()
	case fhirpath.Patch:
		if media == "application/json-patch+json" {
			if _, list := jsonread.Elements(x.body); !ok || !list {
				return malformed("The patch is not a list")
			}
			return x.judgeCondition()
		}
	}
	want := map[string]string{fhirpath.Patch: "Parameters", fhirpath.Transaction: "Bundle"}[f.Operation]
	if want == "" {
		want = f.Resource
	}
	id, _ := top.Text("id")
	switch {
	case f.Resource == "Binary" && f.Operation == fhirpath.Update && media != "application/fhir+json":
	case media != "application/fhir+json":
		return malformed("Content-Type is not application/fhir+json")
	case !ok || !isObject || kind != want:
		return malformed("The body is not a resource " + want)
	case f.Operation == fhirpath.Update && f.ID != "" && id != f.ID:
		return malformed("The id of the resource is not that of the path")
	case f.Operation == fhirpath.Transaction:
		return judgeTransaction(top)
	}
	return x.judgeCondition()
}

// judgeCondition knows version 1 of everything. An update or delete on condition is of all that its query finds.
func (x *exchange) judgeCondition() *complaint {
	f, h := x.fhir, x.r.Header
	changes := slices.Contains([]string{fhirpath.Update, fhirpath.Patch, fhirpath.Delete}, f.Operation)
	switch match := h.Get("If-Match"); {
	case changes && f.ID == "" && x.r.URL.RawQuery == "":
		return malformed("A change on condition has a query")
	case changes && match != "" && match != `W/"1"`, f.Operation == fhirpath.Update && f.ID != "" && h.Get("If-None-Match") == "*":
		return &complaint{http.StatusPreconditionFailed, "The resource has another version", "", ""}
	}
	return nil
}

// judgeTransaction wants a transaction or batch whose entries say what is to be done.
func judgeTransaction(top jsonread.List) *complaint {
	kind, _ := top.Text("type")
	if kind != fhirpath.Transaction && kind != "batch" {
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
func methodsOf(top jsonread.List) (methods []string) {
	entries, _, _ := top.Lookup("entry")
	list, _ := jsonread.Elements(entries)
	for _, entry := range list {
		fields, _ := jsonread.Object(entry)
		value, _, _ := fields.Lookup("request")
		request, _ := jsonread.Object(value)
		method, _ := request.Text("method")
		if url, _ := request.Text("url"); url == "" {
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
	switch f.Operation {
	case fhirpath.Create:
		f.ID = "sim-" + strings.ToLower(f.Resource) + "-1"
		return s.written(x, !found, "1")
	case fhirpath.Update, fhirpath.Patch:
		if f.ID == "" {
			f.ID = "sim-" + strings.ToLower(f.Resource) + "-1"
			return s.written(x, !found && f.Operation == fhirpath.Update, "2")
		}
		return s.written(x, false, "2")
	case fhirpath.Delete:
		return answer{status: http.StatusNoContent}
	case fhirpath.History:
		return s.answerHistory(f)
	case fhirpath.Transaction:
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
	f.Version = version
	a := answer{status: http.StatusOK, contentType: fhirType, body: f.synthetic(f.ID), header: http.Header{
		"Etag": {`W/"` + version + `"`}, "Last-Modified": {s.now().UTC().Format(http.TimeFormat)},
	}}
	if strings.Contains(strings.Join(x.r.Header.Values("Prefer"), ","), "return=minimal") {
		a.contentType, a.body = "", nil
	}
	if created {
		a.status = http.StatusCreated
	}
	if created || f.Operation == fhirpath.Create {
		a.header["Location"] = []string{f.stored(f.Resource, f.ID) + "/_history/" + version}
	}
	return a
}

// answerHistory has two versions of a resource, or of the first of its kind.
func (s *Server) answerHistory(f *fhirTarget) answer {
	one := *f
	if one.ID == "" {
		one.ID = "sim-" + strings.ToLower(f.Resource) + "-1"
	}
	b := bundle{ResourceType: "Bundle", Type: "history", Total: 2}
	for _, version := range []string{"2", "1"} {
		one.Version = version
		b.Entry = append(b.Entry, bundleEntry{
			FullURL: f.stored(f.Resource, one.ID), Resource: one.synthetic(one.ID),
			Request:  &entryRequest{http.MethodPut, f.Resource + "/" + one.ID},
			Response: &entryResponse{Status: "200 OK", ETag: `W/"` + version + `"`},
		})
	}
	return fhirAnswer(http.StatusOK, b)
}

// answerTransaction does nothing of what it is asked, and says that all of it is done.
func (s *Server) answerTransaction(x *exchange) answer {
	top, _, _ := jsonread.Document(x.body)
	kind, _ := top.Text("type")
	b := bundle{ResourceType: "Bundle", Type: kind + "-response", Entry: []bundleEntry{}}
	for _, method := range methodsOf(top) {
		e := bundleEntry{Response: &entryResponse{Status: "200 OK", ETag: `W/"1"`}}
		switch method {
		case http.MethodPost:
			e.Response.Status, e.Response.Location = "201 Created", x.fhir.stored("Patient", uuid())+"/_history/1"
		case http.MethodGet:
			one := fhirTarget{fhirpath.Target{Resource: "Patient"}}
			e.Resource = json.RawMessage(one.synthetic("1"))
		case http.MethodDelete:
			e.Response.Status = "204 No Content"
		}
		b.Entry = append(b.Entry, e)
	}
	return fhirAnswer(http.StatusOK, b)
}
