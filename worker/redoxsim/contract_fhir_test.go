package redoxsim

import (
	"net/http"
	"testing"
)

// testSlug is Redox's own sandbox.
const testSlug = "redox-fhir-sandbox"

// fhirContract is the contract of the FHIR API.
var fhirContract = []contractCase{
	{"FHIR search", false, func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodPost, "Development/Patient/_search", "family=Patient&given=Sim", "application/x-www-form-urlencoded")
	}, want{status: []int{200}, contentType: "application/fhir+json", contains: `"searchset"`}},
	{"FHIR without token", false, func(t *testing.T, p *peer) received {
		return p.do(http.MethodGet, PathFHIR+p.slug+"/Development/Patient/1", "", http.Header{"Accept": {"application/fhir+json"}})
	}, want{status: []int{401}}},
	{"FHIR environment is case sensitive", false, func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodGet, "development/Patient/1", "", "")
	}, want{status: []int{400, 403, 404}}},
	{"FHIR read of an unknown type", false, func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodGet, "Development/Pumpkin/1", "", "")
	}, want{status: []int{400, 403, 404}, contains: "OperationOutcome"}},
	{"FHIR writeback that is no message", false, func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodPost, "Development/Patient/$patient-update", `{"resourceType":"Patient"}`, "application/fhir+json")
	}, want{status: []int{400, 403, 404}}}, // as an OperationOutcome, or as the parser words it
	{"FHIR writeback", false, func(t *testing.T, p *peer) received {
		text := bundleOf(`"eventUri":"https://fhir.redoxengine.com/EventDefinition/PatientUpdate"`, "urn:uuid:"+p.source)
		return p.fhir(t, http.MethodPost, "Development/Patient/$patient-update", text, "application/fhir+json")
	}, want{status: []int{200, 201}, contains: `"resourceType"`}},
	{"FHIR read", true, func(t *testing.T, p *peer) received {
		return p.fhir(t, http.MethodGet, "Development/Patient/some-id", "", "")
	}, want{status: []int{200}, contentType: "application/fhir+json", contains: `"id":"some-id"`}},
	{"FHIR generic message", true, func(t *testing.T, p *peer) received {
		text := bundleOf(`"eventUri":"https://fhir.redoxengine.com/EventDefinition/PatientUpdate"`, "urn:uuid:"+p.source)
		return p.fhir(t, http.MethodPost, "Development/Patient/$process-message", text, "application/fhir+json")
	}, want{status: []int{404}, contains: "OperationOutcome"}},
}

// fhir asks below the slug.
func (p *peer) fhir(t *testing.T, method, path, text, contentType string) received {
	h := with(bearer(p.bearerToken(t)), "Redox-Source-Id", p.source)
	h.Set("Accept", "application/fhir+json")
	h.Del("Content-Type")
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return p.do(method, PathFHIR+p.slug+"/"+path, text, h)
}

// bundleOf is a good writeback with the given event member and source.endpoint.
func bundleOf(event, endpoint string) string {
	return `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader",` + event +
		`,"source":{"endpoint":"` + endpoint + `"}}},{"resource":{"resourceType":"Patient","name":[{"family":"Patient","given":["Sim"]}]}}]}`
}
