package redox

import (
	"slices"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// A message's destination is a scope of its own where the answer is the destination's, and holds
// nothing of a patient.
func TestMessageScopes(t *testing.T) {
	t.Parallel()
	const id = "9A8B7C6D-0000-4000-8000-000000000001"
	c := client(t, "https://api.example", &keyring{}, func(c *Config, _ *Source) { c.BlobURL = "https://blob.example" })
	query := func(destinations string) []byte {
		return []byte(`{"Meta":{"DataModel":"PatientSearch","EventType":"Query","Destinations":` + destinations + `},"Patient":{}}`)
	}
	for name, tc := range map[string]struct {
		m    outbox.Message
		want []string
	}{
		"FHIR":                          {outbox.Message{Kind: outbox.KindFHIR, Path: "/redox-fhir-sandbox/Development/Patient/1"}, []string{"dest:clinic-a:redox-fhir-sandbox"}},
		"FHIR, a query":                 {outbox.Message{Kind: outbox.KindFHIR, Lane: contract.LaneRequest, Path: "big-clinic/Production/Patient?name=Doe"}, []string{"dest:clinic-a:big-clinic"}},
		"FHIR without environment":      {outbox.Message{Kind: outbox.KindFHIR, Path: "Patient/John"}, nil},
		"FHIR with a patient's name":    {outbox.Message{Kind: outbox.KindFHIR, Path: "John%20Doe/Production/x"}, nil},
		"FHIR that is nothing":          {outbox.Message{Kind: outbox.KindFHIR}, nil},
		"a query":                       {outbox.Message{Lane: contract.LaneRequest, Body: query(`[{"ID":"` + id + `","Name":"x"}]`)}, []string{"dest:clinic-a:9a8b7c6d-0000-4000-8000-000000000001"}},
		"a query, read the slow way":    {outbox.Message{Lane: contract.LaneRequest, Body: query(`[{"\u0049D":"` + id + `"}]`)}, []string{"dest:clinic-a:9a8b7c6d-0000-4000-8000-000000000001"}},
		"a query to a name":             {outbox.Message{Lane: contract.LaneRequest, Body: query(`[{"Name":"` + id + `"}]`)}, nil},
		"a query to no id":              {outbox.Message{Lane: contract.LaneRequest, Body: query(`[{"ID":"John Doe"}]`)}, nil},
		"a query to two":                {outbox.Message{Lane: contract.LaneRequest, Body: query(`[{"ID":"` + id + `"},{"ID":"` + id + `"}]`)}, nil},
		"a query that is broken":        {outbox.Message{Lane: contract.LaneRequest, Body: []byte(`{"Meta":`)}, nil},
		"a query in the object store":   {outbox.Message{Lane: contract.LaneRequest, BodyObject: "x"}, nil},
		"a message that Redox queues":   {outbox.Message{Body: query(`[{"ID":"` + id + `"}]`)}, nil},
		"a file":                        {outbox.Message{Kind: outbox.KindFile}, []string{"host:blob.example"}},
		"a request to the Platform API": {outbox.Message{Kind: outbox.KindPlatform, Lane: contract.LaneRequest, Path: "v1/logs"}, nil},
	} {
		tc.m.Source = "clinic-a"
		if got := c.MessageScopes(tc.m); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
