package redoxsim

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// begun begins an export and answers the path of its status.
func (r *rig) begun(t *testing.T, method, path, body string, header http.Header) string {
	t.Helper()
	got := r.fhir(method, PathFHIR+"any/Production/"+path, body, header)
	if got.status != http.StatusAccepted || got.body != "" {
		t.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
	return strings.TrimPrefix(got.header.Get("Content-Location"), r.url)
}

// ready asks until an export is.
func (r *rig) ready(t *testing.T, status string) (m exportManifest, h http.Header) {
	t.Helper()
	got := r.fhir(http.MethodGet, status, "", nil)
	for ; got.status == http.StatusAccepted; got = r.fhir(http.MethodGet, status, "", nil) {
	}
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got.json(t, &m)
	return m, got.header
}

// parameters are the Parameters of an export with these names and values.
const parameters = `{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"Patient"},{"name":"_since","valueInstant":"2026-01-01T00:00:00Z"}]}`

// What is asked for in a query or in Parameters is what comes: types, files of so many lines, and files of what could not
// be exported and of what was deleted.
func TestFHIR_ExportOfManyFiles(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{Export: Export{Resources: 25, FileLines: 10, LineBytes: 500, Issues: 2, Deleted: 3, Polls: -1}})
	async := http.Header{"Prefer": {"respond-async"}}
	asJSON := http.Header{"Prefer": {"respond-async"}, "Content-Type": {"application/fhir+json"}}
	for _, status := range []string{
		g.begun(t, http.MethodGet, "$export?_type=Patient&_since=2026-01-01T00:00:00Z&_outputFormat=ndjson", "", async),
		g.begun(t, http.MethodPost, "Group/g/$export", parameters, asJSON),
		g.begun(t, http.MethodPost, "Patient/$export", parameters, asJSON),
	} {
		m, _ := g.ready(t, status)
		if len(m.Output) != 3 || len(m.Error) != 1 || len(m.Deleted) != 1 || !m.RequiresAccessToken {
			t.Fatalf("%+v", m)
		}
		ids := map[string]bool{}
		for _, o := range append(append(m.Output, m.Error...), m.Deleted...) {
			got := g.fhir(http.MethodGet, strings.TrimPrefix(o.URL, g.url), "", http.Header{"Accept": {"application/fhir+ndjson"}})
			lines := strings.SplitAfter(got.body, "\n")
			if len(lines) != o.Count+1 || got.header.Get("Content-Type") != "application/fhir+ndjson" {
				t.Errorf("%s: %d lines, not %d; %v", o.URL, len(lines)-1, o.Count, got.header)
			}
			for _, line := range lines[:len(lines)-1] {
				var r struct{ ResourceType, ID string }
				received{body: line}.json(t, &r)
				if r.ResourceType != o.Type || len(line) != 500 {
					t.Errorf("%d bytes: %s", len(line), line)
				}
				if o.Type == "Patient" {
					ids[r.ID] = true
				}
			}
		}
		if len(ids) != 25 {
			t.Errorf("%d different ids", len(ids))
		}
	}
}

func TestFHIR_ExportRefused(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{})
	const path = PathFHIR + "any/Production/$export"
	for query, want := range map[string]int{
		"": 202, "_type=Patient,Observation": 202, "_type=Patient&_type=Condition": 202, "_typeFilter=Patient%3Factive%3Dtrue": 202,
		"_type=Nothing": 400, "_since=yesterday": 400, "_outputFormat=csv": 400, "_unknown=1": 400,
	} {
		if r := g.fhir(http.MethodGet, path+"?"+query, "", http.Header{"Prefer": {"respond-async"}}); r.status != want {
			t.Errorf("%s: %d, want %d", query, r.status, want)
		}
		if r := g.fhir(http.MethodGet, path+"?"+query, "", http.Header{"Prefer": {"respond-async, handling=lenient"}}); r.status != 202 && strings.Contains(query, "own") {
			t.Errorf("lenient, %s: %d", query, r.status)
		}
	}
	if r := g.fhir(http.MethodPost, path, `{}`, http.Header{"Prefer": {"respond-async"}}); r.status != 400 {
		t.Errorf("no Parameters: %d", r.status)
	}
}

// An export takes its time, is not to be asked about too often, and is gone some time after it was ready.
func TestFHIR_ExportTakesTimeAndExpires(t *testing.T) {
	t.Parallel()
	clock := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	g := newRig(t, &Server{Now: func() time.Time { return clock }, Export: Export{Polls: -1, Takes: 30 * time.Second, RetryAfter: "30", Every: 5 * time.Second, Lives: time.Minute}})
	status := g.begun(t, http.MethodGet, "$export", "", http.Header{"Prefer": {"respond-async"}})
	for _, step := range []struct {
		wait  time.Duration
		want  int
		after string
	}{{0, 202, "30"}, {2 * time.Second, 429, "3"}, {3 * time.Second, 202, "30"}, {25 * time.Second, 200, ""}, {59 * time.Second, 200, ""}, {time.Second, 404, ""}} {
		clock = clock.Add(step.wait)
		r := g.fhir(http.MethodGet, status, "", nil)
		if r.status != step.want || r.header.Get("Retry-After") != step.after {
			t.Errorf("%+v: %d %v", step, r.status, r.header)
		}
		if expires := r.header.Get("Expires"); (expires != "") != (step.want == 200) || expires != "" && expires != "Thu, 01 Jan 2026 12:01:30 GMT" {
			t.Errorf("%+v: it expires %s", step, expires)
		}
	}
}

// Files elsewhere are for whoever knows their URL, and not for a token.
func TestFHIR_ExportWithFilesElsewhere(t *testing.T) {
	t.Parallel()
	sim := &Server{Export: Export{Polls: -1, Resources: 3}}
	files := httptest.NewServer(sim.Files())
	t.Cleanup(files.Close)
	sim.Export.FilesURL = files.URL
	g := newRig(t, sim)
	m, _ := g.ready(t, g.begun(t, http.MethodGet, "$export", "", http.Header{"Prefer": {"respond-async"}}))
	if m.RequiresAccessToken || len(m.Output) == 0 || !strings.HasPrefix(m.Output[0].URL, files.URL) {
		t.Fatalf("%+v", m)
	}
	for header, want := range map[string]int{"": 200, "Bearer x": 403} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.Output[0].URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		response, err := g.hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%q: %d", header, response.StatusCode)
		}
	}
}

// A large file is made while it is sent.
func BenchmarkExportFile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var c counter
		if err := (exportedFile{kind: "Patient", number: 1, lines: 20_000}).writer(0)(&c); err != nil {
			b.Fatal(err)
		}
	}
}
