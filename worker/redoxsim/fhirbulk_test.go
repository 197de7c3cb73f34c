package redoxsim

import (
	"net/http"
	"strings"
	"testing"
)

// An export is begun, asked about until it is ready, read file by file, and cancelled.
func TestFHIR_Export(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{Matches: 30})
	async := http.Header{"Prefer": {"respond-async"}}
	for _, path := range []string{"Group/g-1/$export", "Patient/$export", "$export"} {
		begun := g.fhir(http.MethodGet, PathFHIR+"any/Production/"+path, "", async)
		status := strings.TrimPrefix(begun.header.Get("Content-Location"), g.url)
		if begun.status != http.StatusAccepted || !strings.HasPrefix(status, PathFHIR) {
			t.Fatalf("%s: %d %v", path, begun.status, begun.header)
		}
		for range 2 {
			if r := g.fhir(http.MethodGet, status, "", nil); r.status != http.StatusAccepted || r.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %v", path, r.status, r.header)
			}
		}
		var ready struct {
			Output []struct {
				Type, URL string
				Count     int
			} `json:"output"`
		}
		g.fhir(http.MethodGet, status, "", nil).json(t, &ready)
		if len(ready.Output) != len(exported) {
			t.Fatalf("%s: %+v", path, ready)
		}
		for _, o := range ready.Output {
			r := g.fhir(http.MethodGet, strings.TrimPrefix(o.URL, g.url), "", nil)
			if n := strings.Count(r.body, "\n"); r.status != http.StatusOK || n != 30 || n != o.Count || strings.Count(r.body, `"resourceType":"`+o.Type+`"`) != n {
				t.Errorf("%s: %d, %d lines", o.URL, r.status, n)
			}
		}
		other := strings.Replace(status, "/any/", "/other/", 1)
		if r := g.fhir(http.MethodGet, other, "", nil); r.status != http.StatusNotFound {
			t.Errorf("under another slug: %d", r.status)
		}
		if r := g.fhir(http.MethodDelete, status, "", nil); r.status != http.StatusAccepted {
			t.Errorf("cancelled: %d", r.status)
		}
		if r := g.fhir(http.MethodGet, status, "", nil); r.status != http.StatusNotFound || outcome(t, r) == "" {
			t.Errorf("after that: %d", r.status)
		}
	}
	for prefer, want := range map[string]int{"": 400, "return=minimal": 400, "handling=lenient, respond-async; wait=10": 202} {
		h := http.Header{"Prefer": {prefer}}
		if r := g.fhir(http.MethodGet, PathFHIR+"any/Production/Group/g-1/$export", "", h); r.status != want {
			t.Errorf("Prefer: %s: %d, want %d", prefer, r.status, want)
		}
	}
}

// What others have begun meanwhile ends neither an export nor a search, and is not remembered for ever.
func TestFHIR_AmongManyOthers(t *testing.T) {
	t.Parallel()
	sim := &Server{Matches: 30}
	g := newRig(t, sim)
	next := func(r received) string {
		var b bundle
		r.json(t, &b)
		for _, l := range b.Link {
			if l.Relation == "next" {
				return strings.TrimPrefix(l.URL, g.url)
			}
		}
		t.Fatalf("no link: %s", r.body)
		return ""
	}
	for range mostExports - 1 {
		sim.bulk.begin(&exporting{})
	}
	begun := g.fhir(http.MethodGet, PathFHIR+"any/Production/$export", "", http.Header{"Prefer": {"respond-async"}})
	status := strings.TrimPrefix(begun.header.Get("Content-Location"), g.url)
	link := next(g.fhir(http.MethodPost, PathFHIR+"any/Production/Patient/_search", "family=x", formType.Clone()))
	for range mostExports - 1 {
		sim.bulk.begin(&exporting{})
	}
	if r := g.fhir(http.MethodGet, status, "", nil); r.status != http.StatusAccepted {
		t.Errorf("the export: %d", r.status)
	}
	if r := g.fhir(http.MethodGet, link, "", nil); r.status != http.StatusOK || !strings.Contains(r.body, `/Patient/sim-patient-11"`) {
		t.Errorf("the next page: %d", r.status)
	}
	if n := len(sim.bulk.exports); n != mostExports {
		t.Errorf("%d exports are remembered", n)
	}
}

// A file goes up with its type, and comes back by its id.
func TestFHIR_Binary(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{KeepBodies: true})
	pdf := http.Header{"Content-Type": {"application/pdf"}}
	r := g.fhir(http.MethodPost, PathFHIR+"any/Production/Binary", "%PDF-1.7", pdf)
	location := r.header.Get("Location")
	id, _, ok := strings.Cut(strings.TrimPrefix(location, "https://fhir.redoxengine.com/any/Binary/"), "/_history/")
	if r.status != http.StatusCreated || !ok {
		t.Fatalf("%d %q", r.status, location)
	}
	back := g.fhir(http.MethodGet, PathFHIR+"any/Production/Binary/"+id, "", http.Header{"Accept": {"application/pdf"}, "Content-Type": nil})
	if back.status != http.StatusOK || back.body != "%PDF-1.7" || back.header.Get("Content-Type") != "application/pdf" {
		t.Errorf("%d %q %v", back.status, back.body, back.header)
	}
	if r := g.fhir(http.MethodPost, PathFHIR+"any/Production/Binary", "x", http.Header{"Content-Type": nil}); r.status != http.StatusBadRequest {
		t.Errorf("without a type: %d", r.status)
	}
}
