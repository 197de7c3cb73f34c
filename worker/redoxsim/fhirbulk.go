package redoxsim

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// judgeBulk wants what FHIR's Bulk Data Access wants of the request that begins an export, and a type of what is uploaded.
func (f *fhirTarget) judgeBulk(r *http.Request) *complaint {
	switch {
	case f.Operation == fhirpath.Export && !prefers(r.Header.Values("Prefer"), "respond-async"):
		return malformed("An export is asked for with Prefer: respond-async")
	case f.Operation == fhirpath.CreateBinary && r.Header.Get("Content-Type") == "":
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
	if f.Resource != "Binary" {
		return answer{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, ok = b.binaries[f.ID]
	return kept, ok
}
