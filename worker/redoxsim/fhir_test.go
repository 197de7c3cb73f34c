package redoxsim

import (
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
)

const (
	updateURI = `"eventUri":"https://fhir.redoxengine.com/EventDefinition/PatientUpdate"`
	oldCoding = `"eventCoding":{"system":"urn:redox:event-type","code":"PatientAdmin-NewPatient"}`
)

// fhirRig knows one FHIR destination and one source.
func fhirRig(t *testing.T) *rig {
	sim := &Server{}
	sim.AddSource(Source{ID: testSource, Environment: "Staging"})
	sim.AddDestination(Destination{ID: testDest, Slug: "hospital"})
	sim.AddDestination(Destination{ID: "narrow", Slug: "narrow", DataModels: []string{"FHIR.Appointment"}})
	sim.AddLegacyKey("k", "s")
	return newRig(t, sim)
}

func (g *rig) fhir(method, path, text string, header http.Header) received {
	g.t.Helper()
	h := http.Header{"Authorization": {"Bearer " + g.sim.NewToken(testClient, 0)}, "Content-Type": {"application/fhir+json"}}
	for name, values := range header {
		h[name] = values
	}
	return g.do(method, path, text, h)
}

// outcome is the text of the first issue of an OperationOutcome.
func outcome(t *testing.T, r received) string {
	t.Helper()
	var o operationOutcome
	r.json(t, &o)
	if o.ResourceType != "OperationOutcome" || len(o.Issue) != 1 || o.Issue[0].Severity != "error" && o.Issue[0].Severity != "fatal" || o.Issue[0].Code == "" {
		t.Errorf("no OperationOutcome: %s", r.body)
		return ""
	}
	if !strings.HasPrefix(r.header.Get("Content-Type"), "application/fhir+json") {
		t.Errorf("content type %q", r.header.Get("Content-Type"))
	}
	return o.Issue[0].Details.Text
}

func TestFHIR_Paths(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "hospital/Staging/Patient/abc-1.2", 200},
		{"GET", "hospital/Staging/Appointment/1", 200},
		{"GET", "hospital/Staging/Patient/1?identifier=system%7Cvalue&x=%22", 200},
		{"GET", "hospital/Production/Patient/1", 403}, // not the source's
		{"GET", "hospital/staging/Patient/1", 404},
		{"GET", "hospital/STAGING/Patient/1", 404},
		{"GET", "Hospital/Staging/Patient/1", 404},
		{"GET", "elsewhere/Staging/Patient/1", 404},
		{"GET", "hospital/Staging/patient/1", 404},
		{"GET", "hospital/Staging/Patient", 400},
		{"GET", "hospital/Staging/Patient?family=x", 200},
		{"GET", "hospital/Staging/Patient?family=", 400},
		{"GET", "hospital/Staging", 404},
		{"GET", "hospital", 404},
		{"GET", "hospital/Staging/Patient/_search", 404},
		{"GET", "hospital/Staging/Patient/$patient-update", 404},
		{"GET", "hospital/Staging/Patient/1/_history", 200},
		{"GET", "hospital/Staging/Patient/_history", 200},
		{"GET", "hospital/Staging/Patient/_x/_history", 404},
		{"GET", "hospital/Staging/Patient/1/_history/2", 200},
		{"GET", "hospital/Staging/Patient/1/_history/_2", 404},
		{"GET", "hospital/Staging/page/Patient/search/x.next", 404},
		{"POST", "hospital/Staging/Observation/$match", 404},
		{"GET", "hospital/Staging/Patient/1/", 404},
		{"GET", "hospital/Staging/Patient/", 404},
		{"GET", "hospital//Patient/1", 404},
		{"GET", "hospital/Staging/Patient/a%2Fb", 404},
		{"GET", "hospital/Staging/Patient/a%20b", 404},
		{"GET", "hospital/Staging/Patient/a_b", 404},
		{"GET", "hospital/Staging/Patient/" + strings.Repeat("x", 65), 404},
		{"GET", "narrow/Staging/Patient/1", 403},
		{"GET", "narrow/Staging/Appointment/1", 200},
		{"GET", "metadata", 404},
		{"GET", "hospital/Staging/metadata", 200},
		{"POST", "hospital/Staging/metadata", 404},
		{"POST", "hospital/Staging/Patient", 400},
		{"POST", "hospital/Staging", 400},
		{"POST", "hospital/Staging/Subscription", 404},
		{"POST", "hospital/Staging/$process-message", 404},
		{"POST", "hospital/Staging/Patient/1", 404},
		{"POST", "hospital/Staging/$patient-update", 404},
		{"POST", "hospital/Staging/Patient/$process-message", 404},
		{"POST", "hospital/Staging/Patient/$Write", 404},
		{"PUT", "hospital/Staging/Patient/1", 400},
		{"PUT", "hospital/Staging/Patient/1/x", 404},
		{"PATCH", "hospital/Staging/Patient/$x", 404},
		{"DELETE", "hospital/Staging/Patient/1", 204},
		{"DELETE", "hospital/Staging/Patient", 400},
	} {
		r := g.fhir(c.method, PathFHIR+c.path, "", nil)
		if r.status != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, r.status, c.want, r.body)
		}
		if c.method == "POST" && c.path == "hospital/Staging/Patient/1" {
			if r.body != "" {
				t.Errorf("%s: %q", c.path, r.body)
			}
			continue
		}
		if r.status >= 400 && outcome(t, r) == "" {
			t.Errorf("%s %s: no text", c.method, c.path)
		}
	}
}

// What is no URI is refused before it is FHIR.
func TestFHIR_NoURI(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	for _, query := range []string{"identifier=system|value", "x={y}", "x=[1]", "x=^", `x="a"`} {
		if r := g.fhir("GET", PathFHIR+"hospital/Staging/Patient/1?"+query, "", nil); r.status != 400 {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
}

func TestFHIR_Search(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	const path = PathFHIR + "hospital/Staging/Patient/_search"
	for _, c := range []struct {
		text, contentType, accept string
		want                      int
	}{
		{"family=Patient", "application/x-www-form-urlencoded", "application/fhir+json", 200},
		{"family=Patient&date=ge2024&date=lt2025", "application/x-www-form-urlencoded; charset=utf-8", "*/*;q=0.1", 200},
		{"family=Patient", "application/x-www-form-urlencoded", "text/html, application/fhir+json;q=0.9", 200},
		{"family=Patient", "application/x-www-form-urlencoded", "application/json", 400},
		{"family=Patient", "application/x-www-form-urlencoded", "application/fhir+json;q=0", 400},
		{"family=Patient", "application/fhir+json", "", 400},
		{"", "application/x-www-form-urlencoded", "", 400},
		{"family=", "application/x-www-form-urlencoded", "", 400},
		{"=x", "application/x-www-form-urlencoded", "", 400},
		{"a;b=%zz", "application/x-www-form-urlencoded", "", 400},
	} {
		h := http.Header{"Content-Type": {c.contentType}}
		if c.accept != "" {
			h.Set("Accept", c.accept)
		}
		if r := g.fhir(http.MethodPost, path, c.text, h); r.status != c.want {
			t.Errorf("%q %s %s: %d %s", c.text, c.contentType, c.accept, r.status, r.body)
		}
	}
	r := g.fhir(http.MethodPost, path, "family=Patient", formType)
	var b bundle
	r.json(t, &b)
	if b.ResourceType != "Bundle" || b.Type != "searchset" || b.Total != 1 || len(b.Entry) != 1 || b.Entry[0].Search.Mode != "match" {
		t.Errorf("%s", r.body)
	}
	if a := g.last(); !a.Query || a.DataModel != "FHIR.Patient" || a.EventType != "_search" || a.Path != path || len(a.LogIDs) != 1 || !a.Accepted {
		t.Errorf("%+v", a)
	}
	if n := g.sim.Stats().ByPath[PathFHIR]; n != 11 {
		t.Errorf("%d counted", n)
	}
}

func TestFHIR_ReadHasNoBody(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	const path = PathFHIR + "hospital/Staging/Patient/1"
	if r := g.fhir(http.MethodGet, path, "{}", nil); r.status != 400 {
		t.Errorf("%d", r.status)
	}
	first, second := g.fhir(http.MethodGet, path, "", nil), g.last().Key
	if first.status != 200 || !strings.Contains(first.body, `"id":"1"`) {
		t.Errorf("%d %s", first.status, first.body)
	}
	g.fhir(http.MethodGet, path+"0", "", nil)
	if g.last().Key == second || second == "" {
		t.Error("two reads have one key")
	}
}

func TestFHIR_TokensOfOtherKinds(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	if err := g.sim.AddUserKey("user", "k", ecKey().Public()); err != nil {
		t.Fatal(err)
	}
	_, legacy := g.login(PathAuthenticate, `{"apiKey":"k","secret":"s"}`)
	for name, token := range map[string]string{"legacy": legacy.AccessToken, "user": g.sim.NewToken("user", 0), "unknown": "x"} {
		r := g.fhir(http.MethodGet, PathFHIR+"hospital/Staging/Patient/1", "", http.Header{"Authorization": {"Bearer " + token}})
		if r.status != 401 || r.body != "Invalid request" || g.last().TokenValid {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	r := g.do(http.MethodPost, PathEndpoint, keyed("m", ""), bearer(g.sim.NewToken("user", 0)))
	if r.status != 401 || g.last().Token != TokenMisused || g.last().Attempt != 0 {
		t.Errorf("a user's token at the endpoint: %d, %+v", r.status, g.last())
	}
	if err := g.sim.AddUserKey(testClient, "k", ecKey().Public()); err == nil {
		t.Error("a client id is of both levels")
	}
}

func TestFHIR_Faults(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	for fault, c := range map[string]struct {
		status  int
		outcome bool
	}{
		"errors": {200, true}, "400 errors": {400, true}, "400": {400, true}, "403": {403, true}, "404": {404, true}, "500": {500, true},
		"401": {401, false}, "429": {429, false}, "502": {502, false}, "503": {503, false}, "504 accept": {504, false},
	} {
		f, err := ParseFault(fault)
		if err != nil {
			t.Fatal(err)
		}
		g.sim.SetRules(Rule{Event: "FHIR.Patient.$patient-update", Fault: f})
		r := g.fhir(http.MethodPost, PathFHIR+"hospital/Staging/Patient/$patient-update", bundleOf(updateURI, testSource), nil)
		if r.status != c.status || strings.Contains(r.body, "OperationOutcome") != c.outcome {
			t.Errorf("%s: %d %s", fault, r.status, r.body)
		}
		if r := g.fhir(http.MethodGet, PathFHIR+"hospital/Staging/Patient/1", "", nil); r.status != 200 {
			t.Errorf("%s hits another event: %d", fault, r.status)
		}
	}
	text := strings.Replace(bundleOf(updateURI, testSource), "{", `{"_sim":{"key":"mine","faults":"503, ok"},`, 1)
	for _, want := range []int{503, 200} {
		if r := g.fhir(http.MethodPost, PathFHIR+"hospital/Staging/Patient/$patient-update", text, nil); r.status != want || g.last().Key != "mine" {
			t.Errorf("script: %d, want %d", r.status, want)
		}
	}
}

func TestFHIR_AnswerHook(t *testing.T) {
	t.Parallel()
	sim := &Server{Answer: func(q Request) []byte {
		if q.DataModel == "FHIR.Patient" {
			return []byte(`{"resourceType":"Patient","id":"mine"}`)
		}
		return nil
	}}
	g := newRig(t, sim)
	if r := g.fhir(http.MethodGet, PathFHIR+"any/Production/Patient/1", "", nil); r.status != 200 || !strings.Contains(r.body, "mine") ||
		!strings.HasPrefix(r.header.Get("Content-Type"), "application/fhir+json") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.fhir(http.MethodGet, PathFHIR+"any/Production/Slot/1", "", nil); !strings.Contains(r.body, `"Slot"`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add(bundleOf(updateURI, testSource), "$patient-update")
	f.Add(bundleOf(oldCoding, testSource), "$write")
	f.Add(`{"resourceType":"Bundle","type":"message","entry":[{"resource":null}]}`, "$write")
	f.Fuzz(func(t *testing.T, text, operation string) {
		m, c := parseBundle([]byte(text), operation, false)
		if m == nil {
			t.Fatal("no message")
		}
		if c == nil && (!jsonread.Valid([]byte(text)) || !strings.Contains(text, "MessageHeader") && !strings.Contains(text, `\u`)) {
			t.Fatalf("%q is taken", text)
		}
		if strings.ContainsAny(m.sourceID, ":/") {
			t.Fatalf("source %q", m.sourceID)
		}
	})
}
