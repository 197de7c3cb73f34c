package conformance

import (
	"strings"
	"testing"
)

// Each interaction by send or request, with a token of the authorization server, and without what
// only Redox has: slug, environment and Source ID.
func TestFHIRServer_TakesEachInteraction(t *testing.T) {
	f := startFleet(t)
	f.write("new.json", `{"resourceType":"Patient","name":[{"family":"Bixby"}]}`)
	f.write("changed.json", `{"resourceType":"Patient","id":"p1","name":[{"family":"Bixby","given":["Tim"]}]}`)
	f.write("search.txt", "family=Bixby")
	for _, row := range []struct {
		name, command string
		code          int
		want          []string // of what it prints
	}{
		{"create", "send --wait --json --path Patient new.json", 0, []string{`"settlement":"delivered"`, `"status":201`, `4_0_1/Patient/p1`}},
		{"read", "request --path Patient/p1", 0, []string{`"family":"Bixby"`, `"versionId":"1"`}},
		{"update", "send --wait --json --method PUT --path Patient/p1 changed.json", 0, []string{`"settlement":"delivered"`, `"status":200`}},
		{"version read", "request --path Patient/p1/_history/1", 0, []string{`"versionId":"1"`}},
		{"history", "request --path Patient/p1/_history", 0, []string{`"type":"history"`, `"Tim"`}},
		{"search by GET", "request --path Patient?family=Bixby", 0, []string{`"searchset"`, `"total":1`}},
		{"search by POST", "request --path Patient/_search search.txt", 0, []string{`"searchset"`, `"total":1`}},
		{"a path with a slash in front", "request --path /Patient/p1", 0, []string{`"Tim"`}},
		{"capabilities", "request --path metadata", 0, []string{`"CapabilityStatement"`}},
		{"nobody", "request --path Patient/p99", 1, []string{"rejected", "404", "not-found"}},
		{"another resource", "request --path Observation/1", 1, []string{"rejected", "404", "not-found"}},
		{"removal", "send --wait --json --method DELETE --path Patient/p1", 0, []string{`"settlement":"delivered"`, `"status":204`}},
		{"a removed one", "request --path Patient/p1", 1, []string{"rejected", "404"}},
	} {
		args := append(strings.Fields(row.command), "--kind", "fhir")
		stdout, stderr, code := f.run(args...)
		t.Logf("%-30s %-55s exit %d", row.name, row.command, code)
		for _, want := range row.want {
			if code != row.code || !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: exit %d without %q:\n%s%s", row.name, code, want, stdout, stderr)
			}
		}
	}
}

// What belongs to Redox alone is refused before it costs a request.
func TestFHIRServer_TakesKindFHIROnly(t *testing.T) {
	f := startFleet(t)
	f.write("m.json", `{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","Destinations":[{"ID":"1"}]}}`)
	stdout, stderr, code := f.run("send", "--wait", "m.json")
	if !strings.Contains(stdout+stderr, "kind fhir only") || code != 1 {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}
