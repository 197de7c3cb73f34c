package redoxsim

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// fhirStore begins the addresses at which Redox names resources: they are no paths of its API (recorded 2024).
const fhirStore = "https://fhir.redoxengine.com/"

// fhirTarget is what a FHIR request is about, and makes the answers about it.
type fhirTarget struct{ fhirpath.Target }

// stored is the address of a resource: the slug redox-fhir-sandbox is fhir-sandbox there.
func (f *fhirTarget) stored(resource, id string) string {
	return fhirStore + strings.TrimPrefix(f.Slug, "redox-") + "/" + resource + "/" + id
}

// synthetic is a made-up resource. The people in it do not exist.
func (f *fhirTarget) synthetic(id string) json.RawMessage {
	r := map[string]any{"resourceType": f.Resource, "id": id, "meta": map[string]string{"versionId": "1", "lastUpdated": "2024-01-01T09:00:00.000Z"}}
	if f.Version != "" {
		r["meta"] = map[string]string{"versionId": f.Version, "lastUpdated": "2024-01-01T09:00:00.000Z"}
	}
	if f.Resource == "Patient" {
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

// answerFHIR answers a read with a resource, and a search or a match with a Bundle.
func (s *Server) answerFHIR(x *exchange) answer {
	var a answer
	if x.fhir.IsREST() {
		a = s.answerREST(x)
		return x.counted(a)
	}
	switch x.fhir.Operation {
	case fhirpath.Export, fhirpath.ExportStatus, fhirpath.ExportFile:
		a = s.answerExport(x)
	case fhirpath.CreateBinary:
		a = s.answerBinary(x)
	case "read":
		if kept, ok := s.bulk.binary(x.fhir); ok {
			a = kept
			break
		}
		a = x.answerRead()
	case "$match":
		a = fhirAnswer(http.StatusOK, bundle{ResourceType: "Bundle", Type: "searchset", Total: 1, Entry: []bundleEntry{x.fhir.found(0, &searchMode{"match", 0.9})}})
	case "page":
		p, ok := x.fhir.pageOf()
		if !ok {
			a = outcomeAnswer(http.StatusNotFound, "No such page")
			break
		}
		a = s.answerPage(x, p)
	default:
		size := defaultPage
		if form, err := url.ParseQuery(string(x.searched())); err == nil {
			if n, err := strconv.Atoi(form.Get("_count")); err == nil && n > 0 {
				size = min(n, maxPage)
			}
		}
		a = s.answerPage(x, page{size: size})
	}
	return x.counted(a)
}

// counted has Redox take what is answered well.
func (x *exchange) counted(a answer) answer {
	if a.accepted = a.status < 400; a.accepted {
		a.logIDs = x.newLogs()
	}
	return a
}

// answerRead answers a read with the version that was asked for, with nothing to whoever has that, and one of a Binary
// that is to be no resource with what might be a file.
func (x *exchange) answerRead() answer {
	version := x.fhir.Version
	if version == "" {
		version = "1"
	}
	a := answer{status: http.StatusOK, contentType: fhirType, header: http.Header{
		"Etag": {`W/"` + version + `"`}, "Last-Modified": {"Mon, 01 Jan 2024 09:00:00 GMT"},
	}}
	switch accept := x.r.Header.Values("Accept"); {
	case x.r.Header.Get("If-None-Match") == a.header.Get("Etag"):
		a.status, a.contentType = http.StatusNotModified, ""
	case x.fhir.Resource == "Binary" && !acceptsFHIR(accept):
		a.contentType, a.body = accept[0], []byte("%PDF-1.4 synthetic\n\x00\xff")
	default:
		a.body = x.fhir.synthetic(x.fhir.ID)
	}
	return a
}

// found is the n-th resource that a search finds.
func (f *fhirTarget) found(n int, mode *searchMode) bundleEntry {
	id := "sim-" + strings.ToLower(f.Resource) + "-" + strconv.Itoa(n+1)
	return bundleEntry{FullURL: f.stored(f.Resource, id), Resource: f.synthetic(id), Search: mode}
}

// Pages of a search have so many resources, unless it says another number, up to the larger one (inferred).
const (
	defaultPage = 10
	maxPage     = 1000
)

// page is a part of what a search finds.
type page struct{ offset, size int }

// name is that of a page in its links. It says where the page is, so that nothing is remembered of a search, however many
// are under way.
func (p page) name() string { return strconv.Itoa(p.offset) + "-" + strconv.Itoa(p.size) }

// pageOf is the page that a link leads to: the name of the page it stood on, and the relation.
func (f *fhirTarget) pageOf() (p page, ok bool) {
	name, relation, _ := strings.Cut(f.Page, ".")
	offset, size, _ := strings.Cut(name, "-")
	from, noOffset := strconv.ParseUint(offset, 10, 31)
	count, noSize := strconv.ParseUint(size, 10, 31)
	p = page{int(from), int(count)}
	if noOffset != nil || noSize != nil || name != p.name() || p.size == 0 || p.size > maxPage {
		return page{}, false
	}
	switch relation {
	case "first", "search":
		p.offset = 0
	case "next":
		p.offset += p.size
	case "self":
	default:
		return page{}, false
	}
	return p, true
}

// answerPage is a page of [Server.Matches] resources, with links as recorded (2024): search, next, first and self.
func (s *Server) answerPage(x *exchange, p page) answer {
	f, total := x.fhir, max(s.Matches, 1)
	b := bundle{ResourceType: "Bundle", Type: "searchset", Total: total, Entry: []bundleEntry{}}
	for n := p.offset; n < min(p.offset+p.size, total); n++ {
		b.Entry = append(b.Entry, f.found(n, &searchMode{Mode: "match"}))
	}
	base := schemeOf(x.r) + x.r.Host + PathFHIR + f.Slug + "/" + f.Environment + "/page/" + f.Resource + "/search/" + p.name() + "."
	for _, relation := range []string{"search", "next", "first", "self"} {
		if relation != "next" || p.offset+p.size < total {
			b.Link = append(b.Link, bundleLink{relation, base + relation})
		}
	}
	return fhirAnswer(http.StatusOK, b)
}

// answerWriteback answers as the sandbox was seen to (2024): an entry with the address of what was written and its
// version. A resource that brings an id is taken to exist (inferred). The ids of the logs are in no header and no body.
func (s *Server) answerWriteback(x *exchange) answer {
	status, resource, id := "201 Created", x.msg.resource, strings.ToLower(rand.Text())
	if x.msg.resourceID != "" {
		status, id = "200 OK", x.msg.resourceID
	}
	if resource == "" {
		resource = x.fhir.Resource
	}
	version := strings.ToLower(rand.Text())
	a := fhirAnswer(http.StatusOK, bundle{
		ResourceType: "Bundle", Type: "transaction-response",
		Entry: []bundleEntry{{Response: &entryResponse{
			Status: status, Location: x.fhir.stored(resource, id) + "/_history/" + version,
			ETag: `W/"` + version + `"`, LastModified: s.now().UTC().Format(time.RFC3339Nano),
		}}},
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

const (
	fhirJSON = "application/fhir+json"
	fhirType = fhirJSON + "; charset=utf-8"
)

// operationOutcome is how FHIR says that something went wrong, in an error and in a 200 alike.
type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// issue has the members that were seen from Redox's sandbox.
type issue struct {
	Severity    string    `json:"severity"`
	Code        string    `json:"code"`
	Details     issueText `json:"details"`
	Diagnostics string    `json:"diagnostics,omitempty"`
}

type issueText struct {
	Coding []issueCoding `json:"coding,omitempty"`
	Text   string        `json:"text"`
}

type issueCoding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

// outcomeAnswer is an OperationOutcome with one error.
func outcomeAnswer(status int, text string) answer {
	a := fhirAnswer(status, operationOutcome{"OperationOutcome", []issue{
		{Severity: "error", Code: issueCode(status), Details: issueText{Text: text}, Diagnostics: "status " + strconv.Itoa(status)},
	}})
	a.reason = text
	return a
}

func fhirAnswer(status int, v any) answer {
	a := jsonAnswer(status, v)
	a.contentType = fhirType
	return a
}

// issueCode is the code of FHIR's IssueType that belongs to a status.
func issueCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not-found"
	case http.StatusPreconditionFailed:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "too-long"
	}
	return "exception"
}

// fhirFailed is a request that the destination answered badly: issues in a 200, and its status (Redox, Queries, 2025).
// Where the status stands in an OperationOutcome is not documented; it is put where only a person would look.
func (s *Server) fhirFailed(x *exchange, status int) answer {
	if status == 0 {
		status = http.StatusOK
	}
	a := fhirAnswer(status, operationOutcome{"OperationOutcome", []issue{{
		Severity: "error", Code: "processing", Details: issueText{Text: "The destination returned an error"},
		Diagnostics: "DestinationStatusCode 400",
	}}})
	a.logIDs, a.reason = x.newLogs(), "the destination failed"
	return a
}
