package redoxsim

import (
	"bytes"
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
	case f.operation == export && !prefersAsync(r.Header.Values("Prefer")):
		return malformed("An export is asked for with Prefer: respond-async")
	case f.operation == createBinary && r.Header.Get("Content-Type") == "":
		return malformed("A Binary needs a Content-Type")
	}
	return nil
}

// prefersAsync looks for respond-async, which may stand among other preferences (RFC 7240).
func prefersAsync(values []string) bool {
	for preference := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, _, _ := strings.Cut(preference, ";")
		if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
			return true
		}
	}
	return false
}

// bulkStore holds the exports under way and what was uploaded. Its zero value is empty.
type bulkStore struct {
	mu       sync.Mutex
	exports  map[string]*exporting
	begun    []string // their ids in the order in which they were begun, cancelled ones too
	binaries map[string]answer
}

// exporting is one export.
type exporting struct {
	slug, environment string
	request           string
	polls             int // that are still answered 202
}

const (
	// pollsOfExport is how often an export is not ready yet.
	pollsOfExport = 2
	// mostExports are remembered: the oldest is forgotten for one more.
	mostExports = 10_000
)

// exported are the types of resources in an export.
var exported = []string{"Patient", "Encounter", "Observation"}

// begin remembers an export and gives it an id.
func (b *bulkStore) begin(e *exporting) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.exports == nil {
		b.exports = map[string]*exporting{}
	}
	if len(b.begun) == mostExports {
		delete(b.exports, b.begun[0])
		b.begun = b.begun[1:]
	}
	id := uuid()
	b.exports[id], b.begun = e, append(b.begun, id)
	return id
}

// find is the export that a path names, if it is of the destination in the path; nil when there is none.
func (b *bulkStore) find(f *fhirTarget) *exporting {
	if e := b.exports[f.page]; e != nil && e.slug == f.slug && e.environment == f.environment {
		return e
	}
	return nil
}

// ask counts a question how far an export is. left says after how many more it is ready.
func (b *bulkStore) ask(f *fhirTarget) (request string, left int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.find(f)
	if e == nil {
		return "", 0, false
	}
	if left = e.polls; left > 0 {
		e.polls--
	}
	return e.request, left, true
}

// has reports whether there is an export, which cancel ends.
func (b *bulkStore) has(f *fhirTarget, cancel bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.find(f) != nil
	if found && cancel {
		delete(b.exports, f.page)
	}
	return found
}

// answerExport begins an export, says how far it is, cancels it, or gives one of its files.
func (s *Server) answerExport(x *exchange) answer {
	f, here := x.fhir, schemeOf(x.r)+x.r.Host
	root := here + PathFHIR + f.slug + "/" + f.environment + "/export/"
	cancel := x.r.Method == http.MethodDelete
	switch {
	case f.operation == export:
		id := s.bulk.begin(&exporting{f.slug, f.environment, here + x.r.URL.RequestURI(), pollsOfExport})
		return answer{status: http.StatusAccepted, header: http.Header{"Content-Location": {root + id}}}
	case (cancel || f.operation == exportFile) && !s.bulk.has(f, cancel):
		return noExport()
	case cancel:
		return answer{status: http.StatusAccepted}
	case f.operation == exportFile:
		return s.answerExportFile(f)
	}
	request, left, ok := s.bulk.ask(f)
	switch {
	case !ok:
		return noExport()
	case left > 0:
		return answer{status: http.StatusAccepted, header: http.Header{"Retry-After": {"1"}, "X-Progress": {strconv.Itoa(left) + " to go"}}}
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
		"transactionTime": s.now().UTC().Format(time.RFC3339), "request": request, "requiresAccessToken": true, "output": files, "error": []output{},
	})
}

func noExport() answer { return outcomeAnswer(http.StatusNotFound, "No such export") }

// answerExportFile is one line for each resource.
func (s *Server) answerExportFile(f *fhirTarget) answer {
	of, isFile := strings.CutSuffix(f.version, ".ndjson")
	if !isFile || !fhirResources[of] {
		return outcomeAnswer(http.StatusNotFound, "No such file")
	}
	var b bytes.Buffer
	line := fhirTarget{resource: of}
	for n := range max(s.Matches, 1) {
		b.Write(line.found(n, nil).Resource)
		b.WriteByte('\n')
	}
	return answer{status: http.StatusOK, contentType: "application/fhir+ndjson", body: b.Bytes()}
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
