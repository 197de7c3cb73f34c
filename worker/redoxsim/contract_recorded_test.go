package redoxsim

import (
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// recordedCase is a request whose answer was recorded, or is shown by a page of Redox. source says where. Redox answers
// as lax says, and so does the simulator with [Server.Lax]; without it the simulator answers as strict says.
type recordedCase struct {
	name, source string
	ask          func(t *testing.T, p *peer) received
	strict, lax  want
}

// The sources: "2020" are the exchanges of patient-discovery/redox-client at 137d330, "2024" the notebook of
// databricks-industry-solutions/redox-ehr-api at d6dba2c, which asked Redox's FHIR sandbox.
var recordedContract = []recordedCase{
	same("the answer to a query has the query's own event", "2020, all ten answers", func(t *testing.T, p *peer) received {
		return p.post(t, p.meta("PatientSearch", "Query", p.destinations())+`,"Patient":{"Demographics":{"FirstName":"Sim","LastName":"Patient"}}}`)
	}, want{status: []int{200}, contains: `"EventType":"Query"`}),
	same("a writeback names what it wrote by address and version", "2024, Observation/$observation-create", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$observation-create", observation(p), "application/fhir+json")
	}, want{status: []int{200}, contains: `"location":"https://fhir.redoxengine.com/`}),
	same("a writeback has an ETag", "2024, the same", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$observation-create", observation(p), "application/fhir+json")
	}, want{status: []int{200}, contains: `/_history/`}),
	same("an operation of another resource is refused by the parser", "2024, Observation/$appointment-create", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$appointment-create", observation(p), "application/fhir+json")
	}, want{status: []int{400}, contentType: "application/json", contains: `"Module":"Parser"`, not: "OperationOutcome"}),
	same("errors of the parser have a log", "2024, the same", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$appointment-create", observation(p), "application/fhir+json")
	}, want{status: []int{400}, contains: `"Logs":[{"ID":"`}),
	same("a resource that is none", "2024, Fake/$fake-create", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Fake/$fake-create", observation(p), "application/fhir+json")
	}, want{status: []int{404}, contains: "MSG_NO_MODULE"}),
	same("a POST to one resource", "2024, Appointment/<id>", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Appointment/some-id", observation(p), "application/fhir+json")
	}, want{status: []int{404}, empty: true}),
	same("what a search finds has the address of the store", "2024, Patient/_search", func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodPost, "Development/Patient/_search", "family=Patient", formMedia)
	}, want{status: []int{200}, contains: `"fullUrl":"https://fhir.redoxengine.com/`}),
	same("a search has links of pages", "2024, the same", func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodPost, "Development/Patient/_search", "family=Patient", formMedia)
	}, want{status: []int{200}, contains: `/Development/page/Patient/search/`}),
	same("a page is read by its link", "2024 shows the link; that it is read by GET is inferred", func(t *testing.T, p *peer) received {
		r := p.fhir(t, http.MethodPost, "Development/Patient/_search", "family=Patient", formMedia)
		_, link, _ := strings.Cut(r.body, "/Development/page/")
		link, _, _ = strings.Cut(link, `"`)
		return p.fhir(t, http.MethodGet, "Development/page/"+link, "", "")
	}, want{status: []int{200}, contains: `"searchset"`}),
	same("an old event of a newer operation", "Redox, Observation/$write-results", func(t *testing.T, p *peer) received {
		text := bundleOf(`"eventCoding":{"system":"urn:redox:event-type","code":"Observation-New"}`, "urn:uuid:"+p.source)
		return p.writeback(t, "Observation/$write-results", text, "application/fhir+json")
	}, want{status: []int{200}}),
	same("a match", "Redox, Patient: review, retrieve, create, update, or match; the form is FHIR's", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Patient/$match", `{"resourceType":"Parameters","parameter":[{"name":"resource","resource":{"resourceType":"Patient"}}]}`, "application/fhir+json")
	}, want{status: []int{200}, contains: `"score"`}),
	same("bulk data access is a data model", "Redox, FHIR Bulk Data Access", func(t *testing.T, p *peer) received {
		return p.post(t, p.meta("FHIR Bulk Data Access", "Group Export", p.destinations())+`}`)
	}, want{status: []int{200, 403}}),

	{"a search without parameters and Content-Type", "2024, Patient/_search with no body", func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodPost, "Development/Patient/_search", "", "")
	}, want{status: []int{400}}, want{status: []int{200}, contains: `"searchset"`}},
	{"a search whose parameters are in the URL", "the calls of a third application", func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodPost, "Development/Patient/_search?given=Sim", "", formMedia)
	}, want{status: []int{200}}, want{status: []int{200}}},
	{"a read with a body", "2024, GET Appointment/<id>", func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodGet, "Development/Patient/some-id", "{}", "")
	}, want{status: []int{400}}, want{status: []int{200, 404}}}, // of a patient that may not be there
	{"a writeback as plain JSON", "2024, 00_demo_notebook.py", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$observation-create", observation(p), "application/json")
	}, want{status: []int{400}, contains: "OperationOutcome"}, want{status: []int{200}}},
	{"a writeback without Content-Type", "2024, all", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$observation-create", observation(p), "")
	}, want{status: []int{400}}, want{status: []int{200}}},
	{"a writeback without MessageHeader", "2024, Observation/$observation-create", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$observation-create", `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"Observation"}}]}`, "application/fhir+json")
	}, want{status: []int{400}}, want{status: []int{200}, contains: "/Observation/"}},
	{"a writeback without type", "2024, 00_demo_notebook.py", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Observation/$observation-create", `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation"}}]}`, "application/fhir+json")
	}, want{status: []int{400}}, want{status: []int{200}}},
	{"a resource that exists", "2024, Appointment/$appointment-create", func(t *testing.T, p *peer) received {
		return p.writeback(t, "Appointment/$appointment-create", `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"Observation","id":"some-id"}}]}`, "application/fhir+json")
	}, want{status: []int{400}}, want{status: []int{200}, contains: `"status":"200 OK"`}},
}

const formMedia = "application/x-www-form-urlencoded"

// same is a case in which strict makes no difference.
func same(name, source string, ask func(t *testing.T, p *peer) received, w want) recordedCase {
	return recordedCase{name, source, ask, w, w}
}

// observation is a writeback of one Observation.
func observation(p *peer) string {
	text := bundleOf(`"eventUri":"https://fhir.redoxengine.com/EventDefinition/ObservationCreate"`, "urn:uuid:"+p.source)
	return strings.Replace(text, `"resourceType":"Patient"`, `"resourceType":"Observation"`, 1)
}

func (p *peer) writeback(t *testing.T, path, text, contentType string) received {
	return p.fhir(t, http.MethodPost, "Development/"+path, text, contentType)
}

// TestContract_Recorded goes through the recordings with the simulator, strict and lax, and with Redox if there are
// credentials.
func TestContract_Recorded(t *testing.T) {
	for _, c := range recordedContract {
		if c.source == "" {
			t.Errorf("%s: no source", c.name)
		}
		for name, lax := range map[string]bool{"strict": false, "lax": true} {
			t.Run(name+": "+c.name, func(t *testing.T) {
				sim := &Server{Lax: lax}
				sim.AddSource(Source{ID: testSource})
				sim.AddDestination(Destination{ID: testDest})
				sim.AddDestination(Destination{ID: "fhir", Slug: testSlug})
				p := &peer{newRig(t, sim), testClient, testKid, rsaKey(), jwt.SigningMethodRS384, testSource, testDest, testSlug}
				w := c.strict
				if lax {
					w = c.lax
				}
				w.check(t, c.ask(t, p))
			})
		}
	}
	if p := sandbox(t); p != nil {
		for _, c := range recordedContract {
			t.Run("Redox: "+c.name, func(t *testing.T) { c.lax.check(t, c.ask(t, p)) })
		}
	}
}

// A search goes on page by page, and ends.
func TestFHIR_Pages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		matches, pages int
		form           string
	}{{0, 1, "family=x"}, {10, 1, "family=x"}, {11, 2, "family=x"}, {25, 3, "family=x"}, {5, 5, "_count=1"}, {2000, 2, "_count=5000"}} {
		sim := &Server{Matches: c.matches}
		g := newRig(t, sim)
		seen, pages, path, method := map[string]bool{}, 0, PathFHIR+"any/Production/Patient/_search", http.MethodPost
		for text := c.form; path != ""; text = "" {
			h := formType.Clone()
			r := g.fhir(method, path, text, h)
			if r.status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, r.status, r.body)
			}
			var b bundle
			r.json(t, &b)
			for _, e := range b.Entry {
				seen[e.FullURL] = true
			}
			pages, path, method = pages+1, "", http.MethodGet
			for _, l := range b.Link {
				if l.Relation == "next" {
					path = strings.TrimPrefix(l.URL, g.url)
				}
			}
			if b.Total != max(c.matches, 1) {
				t.Errorf("total %d", b.Total)
			}
		}
		if len(seen) != max(c.matches, 1) || pages != c.pages {
			t.Errorf("%+v: %d resources on %d pages", c, len(seen), pages)
		}
	}
}
