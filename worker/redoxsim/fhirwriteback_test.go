package redoxsim

import (
	"net/http"
	"strings"
	"testing"
)

func TestFHIR_Writebacks(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	good := bundleOf(updateURI, "urn:uuid:"+testSource)
	for name, c := range map[string]struct {
		operation, text string
		want            int
	}{
		"patient-update":           {"$patient-update", good, 200},
		"source as a bare UUID":    {"$patient-update", bundleOf(updateURI, testSource), 200},
		"old $write":               {"$write", bundleOf(oldCoding, testSource), 200},
		"an address as endpoint":   {"$patient-update", bundleOf(updateURI, "https://app.example.com/fhir"), 200},
		"$write with a URI":        {"$write", good, 400},
		"update with a coding":     {"$patient-update", bundleOf(oldCoding, testSource), 200},
		"coding of another system": {"$write", bundleOf(`"eventCoding":{"system":"urn:x","code":"y"}`, testSource), 400},
		"both events":              {"$patient-update", bundleOf(updateURI+","+oldCoding, testSource), 400},
		"no event":                 {"$patient-update", bundleOf(`"id":"x"`, testSource), 400},
		"event of somebody else":   {"$patient-update", bundleOf(`"eventUri":"https://example.com/PatientUpdate"`, testSource), 400},
		"no endpoint":              {"$patient-update", bundleOf(updateURI, ""), 400},
		"another source":           {"$patient-update", bundleOf(updateURI, "urn:uuid:00000000-0000-4000-8000-000000000000"), 403},
		"empty":                    {"$patient-update", "", 400},
		"not JSON":                 {"$patient-update", "{", 400},
		"a list":                   {"$patient-update", "[]", 400},
		"a Patient":                {"$patient-update", `{"resourceType":"Patient"}`, 400},
		"another type of Bundle":   {"$patient-update", strings.Replace(good, `"message"`, `"batch"`, 1), 400},
		"type twice":               {"$patient-update", strings.Replace(good, `"type"`, `"type":"message","type"`, 1), 400},
		"no entries":               {"$patient-update", `{"resourceType":"Bundle","type":"message","entry":[]}`, 400},
		"entry is no list":         {"$patient-update", `{"resourceType":"Bundle","type":"message","entry":{}}`, 400},
		"header is not first":      {"$patient-update", strings.Replace(good, "MessageHeader", "Parameters", 1), 400},
		"an entry without resource": {"$patient-update", strings.Replace(good, `{"resource":{"resourceType":"Patient"`,
			`{"request":{"resourceType":"Patient"`, 1), 400},
	} {
		r := g.fhir(http.MethodPost, PathFHIR+"hospital/Staging/Patient/"+c.operation, c.text, nil)
		if r.status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, r.status, c.want, r.body)
		}
		if a := g.last(); a.Accepted != (c.want == 200) || a.Query || a.EventType != c.operation {
			t.Errorf("%s: %+v", name, a)
		}
		if r.status != 200 {
			outcome(t, r)
			continue
		}
		var b bundle
		r.json(t, &b)
		if len(b.Entry) != 1 || b.Entry[0].Response.Status != "201 Created" || !strings.HasPrefix(b.Entry[0].Response.Location, "https://fhir.redoxengine.com/hospital/Patient/") || strings.Contains(r.body, g.last().LogIDs[0]) {
			t.Errorf("%s: %s", name, r.body)
		}
	}
}

// With several sources a query names its own in the header and a writeback in its MessageHeader.
func TestFHIR_WhereTheSourceStands(t *testing.T) {
	t.Parallel()
	g := fhirRig(t)
	g.sim.AddSource(Source{ID: "second"})
	write := PathFHIR + "hospital/Staging/Patient/$patient-update"
	read := PathFHIR + "hospital/Staging/Patient/1"
	for name, c := range map[string]struct {
		method, path, text, header string
		want                       int
	}{
		"query, none":               {"GET", read, "", "", 400},
		"query, header":             {"GET", read, "", testSource, 200},
		"query, unknown":            {"GET", read, "", "third", 403},
		"write, message":            {"POST", write, bundleOf(updateURI, testSource), "", 200},
		"write, header only":        {"POST", write, bundleOf(updateURI, "https://a.example/"), testSource, 400},
		"write, both":               {"POST", write, bundleOf(updateURI, testSource), testSource, 200},
		"write, two that differ":    {"POST", write, bundleOf(updateURI, testSource), "second", 400},
		"write, no environment set": {"POST", write, bundleOf(updateURI, "second"), "second", 200},
	} {
		h := http.Header{}
		if c.header != "" {
			h.Set("Redox-Source-Id", c.header)
		}
		if r := g.fhir(c.method, c.path, c.text, h); r.status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, r.status, c.want, r.body)
		}
	}
}
