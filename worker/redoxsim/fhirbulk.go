package redoxsim

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Operations on much at once and on files. Redox documents Group/{id}/$export, an export of the system, and a question how
// far one is (Beta), and files as Binary; where they are and how they look is FHIR's Bulk Data Access and REST (inferred).
const (
	export       = "$export"
	exportStatus = "export-status"
	exportFile   = "export-file"
	createBinary = "create"
)

// parseBulk reads a path of these operations.
func (f *fhirTarget) parseBulk(method string, parts []string) bool {
	get, of := method == http.MethodGet, "Group"
	switch {
	case get && len(parts) == 1 && parts[0] == export:
		f.operation = export
	case get && len(parts) == 3 && parts[0] == "Group" && isID(parts[1]) && parts[2] == export:
		f.operation, f.id = export, parts[1]
	case (get || method == http.MethodDelete) && len(parts) == 2 && parts[0] == "export":
		f.operation, f.page = exportStatus, parts[1]
	case get && len(parts) == 3 && parts[0] == "export":
		f.operation, f.page, f.version = exportFile, parts[1], parts[2]
	case method == http.MethodPost && len(parts) == 1 && parts[0] == "Binary":
		f.operation, of = createBinary, "Binary"
	default:
		return false
	}
	f.resource = of
	return true
}

// anyForm says that bodies and answers need not be FHIR.
func (f *fhirTarget) anyForm() bool {
	return f.operation == export || f.operation == exportStatus || f.operation == exportFile || f.resource == "Binary" && (f.operation == createBinary || f.operation == "read")
}

// judgeBulk wants what FHIR's Bulk Data Access wants of the request that begins an export, and a type of what is uploaded.
func (f *fhirTarget) judgeBulk(r *http.Request) *complaint {
	switch {
	case f.operation == export && r.Header.Get("Prefer") != "respond-async":
		return malformed("An export is asked for with Prefer: respond-async")
	case f.operation == createBinary && r.Header.Get("Content-Type") == "":
		return malformed("A Binary needs a Content-Type")
	}
	return nil
}

// bulkStore holds the exports under way and what was uploaded. Its zero value is empty.
type bulkStore struct {
	mu       sync.Mutex
	exports  map[string]*exporting
	binaries map[string]answer
}

// exporting is one export.
type exporting struct {
	request string
	polls   int // that are still answered 202
}

// pollsOfExport is how often an export is not ready yet.
const pollsOfExport = 2

// exported are the types of resources in an export.
var exported = []string{"Patient", "Encounter", "Observation"}

// answerExport begins an export, says how far it is, cancels it, or gives one of its files.
func (s *Server) answerExport(x *exchange) answer {
	f, root := x.fhir, schemeOf(x.r)+x.r.Host+PathFHIR+x.fhir.slug+"/"+x.fhir.environment+"/export/"
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	if f.operation == export {
		id := uuid()
		if s.bulk.exports == nil || len(s.bulk.exports) >= mostPages {
			s.bulk.exports = map[string]*exporting{}
		}
		s.bulk.exports[id] = &exporting{request: schemeOf(x.r) + x.r.Host + x.r.URL.RequestURI(), polls: pollsOfExport}
		return answer{status: http.StatusAccepted, header: http.Header{"Content-Location": {root + id}}}
	}
	e := s.bulk.exports[f.page]
	switch {
	case e == nil:
		return outcomeAnswer(http.StatusNotFound, "No such export")
	case x.r.Method == http.MethodDelete:
		delete(s.bulk.exports, f.page)
		return answer{status: http.StatusAccepted}
	case f.operation == exportFile:
		return s.answerExportFile(f)
	case e.polls > 0:
		e.polls--
		return answer{status: http.StatusAccepted, header: http.Header{"Retry-After": {"1"}, "X-Progress": {strconv.Itoa(e.polls+1) + " to go"}}}
	}
	type output struct {
		Type  string `json:"type"`
		URL   string `json:"url"`
		Count int    `json:"count"`
	}
	var files []output
	for _, of := range exported {
		files = append(files, output{of, root + f.page + "/" + of + ".ndjson", max(s.Matches, 1)})
	}
	return jsonAnswer(http.StatusOK, map[string]any{
		"transactionTime": s.now().UTC().Format(time.RFC3339), "request": e.request, "requiresAccessToken": true, "output": files, "error": []output{},
	})
}

// answerExportFile is one line for each resource.
func (s *Server) answerExportFile(f *fhirTarget) answer {
	of, isFile := strings.CutSuffix(f.version, ".ndjson")
	if !isFile || !fhirResources[of] {
		return outcomeAnswer(http.StatusNotFound, "No such file")
	}
	var b strings.Builder
	line := fhirTarget{resource: of}
	for n := range max(s.Matches, 1) {
		b.Write(line.found(n, nil).Resource)
		b.WriteByte('\n')
	}
	return answer{status: http.StatusOK, contentType: "application/fhir+ndjson", body: []byte(b.String())}
}

// answerBinary takes a file. It is kept with [Server.KeepBodies].
func (s *Server) answerBinary(x *exchange) answer {
	id := uuid()
	if s.KeepBodies {
		s.bulk.mu.Lock()
		if s.bulk.binaries == nil {
			s.bulk.binaries = map[string]answer{}
		}
		s.bulk.binaries[id] = answer{status: http.StatusOK, contentType: x.r.Header.Get("Content-Type"), body: append([]byte(nil), x.body...)}
		s.bulk.mu.Unlock()
	}
	return answer{status: http.StatusCreated, header: http.Header{"Location": {x.fhir.stored("Binary", url.PathEscape(id)) + "/_history/1"}, "ETag": {`W/"1"`}}}
}

// binary is a file that was uploaded.
func (b *bulkStore) binary(f *fhirTarget) (kept answer, ok bool) {
	if f.resource != "Binary" {
		return answer{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, ok = b.binaries[f.id]
	return kept, ok
}
