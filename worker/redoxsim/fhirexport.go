package redoxsim

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// Export says what a bulk export of the simulator has, and how it behaves. The zero value is a small one that works.
type Export struct {
	// Resources is how many there are of each type. Default: as many as a search finds, [Server.Matches].
	Resources int
	// FileLines is how many resources a file has at most. Default: those of a type are one file.
	FileLines int
	// LineBytes is the least length of a line, which is filled up. Default: as it comes, about 200.
	LineBytes int
	// Polls is how often an export is not ready yet when it is asked about. Default 2; -1 never.
	Polls int
	// Takes is how long an export is not ready, however often it is asked about. Default none.
	Takes time.Duration
	// RetryAfter is the Retry-After of an export that is not ready. Default "1"; "-" sends none.
	RetryAfter string
	// Every is how much time must be between two questions: sooner ones are answered 429 with a Retry-After of what is
	// missing. Default none.
	Every time.Duration
	// Issues is how many resources could not be exported: a file of OperationOutcomes. Default none.
	Issues int
	// Deleted is how many resources were deleted since _since: a file of Bundles, where that was asked for. Default none.
	Deleted int
	// Lives is how long a finished export is kept; then it is not found. Default: for ever.
	Lives time.Duration
	// FilesURL is where the files are said to be, without a token; [Server.Files] serves them. Default: the API.
	FilesURL string
}

// exporting is one export.
type exporting struct {
	slug, environment string
	request           string
	types             []string
	since             bool
	polls             int // that are still answered 202
	begun, asked      time.Time
	ready             time.Time // zero: not yet
}

// mostExports are remembered: the oldest is forgotten for one more.
const mostExports = 10_000

// exported are the types of resources in an export that asks for no others.
var exported = []string{"Patient", "Encounter", "Observation"}

// polls is how often an export is not ready.
func (e Export) polls() int { return max(cmp.Or(e.Polls, 2), 0) }

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

// findExport is the export that a path names, if it is of the destination in the path; nil when there is none, or it has
// expired.
func (s *Server) findExport(f *fhirTarget) *exporting {
	e := s.bulk.exports[f.Page]
	if e == nil || e.slug != f.Slug || e.environment != f.Environment {
		return nil
	}
	if lives := s.Export.Lives; lives > 0 && !e.ready.IsZero() && s.now().Sub(e.ready) >= lives {
		return nil
	}
	return e
}

// answerExport begins an export, says how far it is, cancels it, or gives one of its files.
func (s *Server) answerExport(x *exchange) answer {
	f := x.fhir
	if f.Operation == fhirpath.Export {
		return s.beginExport(x)
	}
	s.bulk.mu.Lock()
	defer s.bulk.mu.Unlock()
	e := s.findExport(f)
	switch {
	case e == nil:
		return outcomeAnswer(http.StatusNotFound, "No such export")
	case x.r.Method == http.MethodDelete:
		delete(s.bulk.exports, f.Page)
		return answer{status: http.StatusAccepted}
	case f.Operation == fhirpath.ExportFile:
		return s.exportFile(e, f.Version)
	}
	return s.exportStatus(x, e)
}

// exportsBelow is the URL that those of a destination's exports begin with.
func exportsBelow(x *exchange) string {
	return schemeOf(x.r) + x.r.Host + PathFHIR + x.fhir.Slug + "/" + x.fhir.Environment + "/export/"
}

// beginExport takes the request that begins an export.
func (s *Server) beginExport(x *exchange) answer {
	asked, c := readExport(x)
	if c != nil {
		return s.complainFHIR(x, c)
	}
	e := &exporting{
		slug: x.fhir.Slug, environment: x.fhir.Environment, request: schemeOf(x.r) + x.r.Host + x.r.URL.RequestURI(),
		types: asked.types, since: asked.since, polls: s.Export.polls(), begun: s.now(),
	}
	return answer{status: http.StatusAccepted, header: http.Header{"Content-Location": {exportsBelow(x) + s.bulk.begin(e)}}}
}

// exportStatus says how far an export is. The mutex is held.
func (s *Server) exportStatus(x *exchange, e *exporting) answer {
	now := s.now()
	if wait := e.asked.Add(s.Export.Every).Sub(now); !e.asked.IsZero() && wait > 0 {
		a := outcomeAnswer(http.StatusTooManyRequests, "Asked too often")
		a.set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		return a
	}
	e.asked = now
	if e.polls > 0 || now.Sub(e.begun) < s.Export.Takes {
		a := answer{status: http.StatusAccepted, header: http.Header{"X-Progress": {strconv.Itoa(e.polls) + " to go"}}}
		if after := cmp.Or(s.Export.RetryAfter, "1"); after != "-" {
			a.set("Retry-After", after)
		}
		e.polls = max(e.polls-1, 0)
		return a
	}
	if e.ready.IsZero() {
		e.ready = now
	}
	a := jsonAnswer(http.StatusOK, s.manifest(e, cmp.Or(s.Export.FilesURL, strings.TrimSuffix(exportsBelow(x), "/"))+"/"+x.fhir.Page+"/"))
	if lives := s.Export.Lives; lives > 0 {
		a.set("Expires", e.ready.Add(lives).UTC().Format(http.TimeFormat))
	}
	return a
}

// exportManifest is the answer of an export that is ready (FHIR Bulk Data Access, Complete Status).
type exportManifest struct {
	TransactionTime     string         `json:"transactionTime"`
	Request             string         `json:"request"`
	RequiresAccessToken bool           `json:"requiresAccessToken"`
	Output              []exportOutput `json:"output"`
	Error               []exportOutput `json:"error"`
	Deleted             []exportOutput `json:"deleted,omitempty"`
}

type exportOutput struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int    `json:"count"`
}

func (s *Server) manifest(e *exporting, below string) exportManifest {
	m := exportManifest{
		TransactionTime: e.begun.UTC().Format(time.RFC3339), Request: e.request, RequiresAccessToken: s.Export.FilesURL == "",
		Output: []exportOutput{}, Error: []exportOutput{},
	}
	for _, file := range s.exportFiles(e) {
		o := exportOutput{file.kind, below + file.name(), file.lines}
		switch file.kind {
		case issuesFile:
			m.Error = append(m.Error, o)
		case deletedFile:
			m.Deleted = append(m.Deleted, o)
		default:
			m.Output = append(m.Output, o)
		}
	}
	return m
}

// exportFiles are the files of an export.
func (s *Server) exportFiles(e *exporting) (files []exportedFile) {
	total := cmp.Or(s.Export.Resources, max(s.Matches, 1))
	most := cmp.Or(s.Export.FileLines, total)
	for _, of := range e.types {
		for from := 0; from < total; from += most {
			files = append(files, exportedFile{kind: of, number: from/most + 1, from: from, lines: min(most, total-from)})
		}
	}
	if s.Export.Issues > 0 {
		files = append(files, exportedFile{kind: issuesFile, number: 1, lines: s.Export.Issues})
	}
	if e.since && s.Export.Deleted > 0 {
		files = append(files, exportedFile{kind: deletedFile, number: 1, lines: s.Export.Deleted})
	}
	return files
}

// exportFile gives a file of an export. The mutex is held.
func (s *Server) exportFile(e *exporting, name string) answer {
	files := s.exportFiles(e)
	i := slices.IndexFunc(files, func(f exportedFile) bool { return f.name() == name })
	if i < 0 || e.ready.IsZero() {
		return outcomeAnswer(http.StatusNotFound, "No such file")
	}
	return answer{status: http.StatusOK, contentType: "application/fhir+ndjson", stream: files[i].writer(s.Export.LineBytes)}
}

// Files serves the files of exports to whoever knows their URL, as a store of files with signed URLs does; see
// Export.FilesURL. It refuses a request that brings a token.
func (s *Server) Files() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		s.bulk.mu.Lock()
		e := s.bulk.exports[id]
		a := outcomeAnswer(http.StatusForbidden, "No such file")
		if e != nil && r.Header.Get("Authorization") == "" {
			a = s.exportFile(e, name)
		}
		s.bulk.mu.Unlock()
		w.Header().Set("Content-Type", a.contentType)
		w.WriteHeader(a.status)
		a.writeTo(w)
	})
}

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
