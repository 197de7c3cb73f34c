package redoxsim

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
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
	asks := get || method == http.MethodPost
	switch {
	case asks && len(parts) == 1 && parts[0] == export, asks && len(parts) == 2 && parts[0] == "Patient" && parts[1] == export:
		f.operation = export
	case asks && len(parts) == 3 && parts[0] == "Group" && isID(parts[1]) && parts[2] == export:
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
	case f.operation == export && !prefers(r.Header.Values("Prefer"), "respond-async"):
		return malformed("An export is asked for with Prefer: respond-async")
	case f.operation == createBinary && r.Header.Get("Content-Type") == "":
		return malformed("A Binary needs a Content-Type")
	}
	return nil
}

// prefers looks for a preference, which may stand among others (RFC 7240).
func prefers(values []string, what string) bool {
	for preference := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, _, _ := strings.Cut(preference, ";")
		if strings.EqualFold(strings.TrimSpace(name), what) {
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
