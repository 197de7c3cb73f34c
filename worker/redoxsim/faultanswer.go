package redoxsim

import (
	"cmp"
	"encoding/json"
	"net/http"
)

// signIn is what somebody on the way to Redox answers.
const signIn = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Sign in to go on.</body></html>\n"

// answer is that of an action which is about the body; ok is false for the others.
func (f *Fault) answer() (a answer, ok bool) {
	status := cmp.Or(f.Status, http.StatusOK)
	switch f.Action {
	case Page:
		a = answer{status: status, contentType: "text/html; charset=utf-8", body: []byte(signIn)}
	case Issues: // Redox's page shows the status of the destination inside; which members there are else is inferred
		a = fhirAnswer(status, map[string]any{"issues": []map[string]any{{
			"severity": "error", "code": "processing", "details": issueText{Text: "The destination returned an error"}, "DestinationStatusCode": 400,
		}}})
	case Outcome:
		a = fhirAnswer(status, operationOutcome{"OperationOutcome", []issue{{Severity: "error", Code: cmp.Or(f.Code, "processing"), Details: issueText{Text: "fault"}}}})
	case Response:
		header, err := json.Marshal(map[string]any{"resourceType": "MessageHeader", "response": map[string]string{"identifier": "1", "code": cmp.Or(f.Code, "fatal-error")}})
		if err != nil { // cannot be: it is made of texts
			return answer{}, false
		}
		a = fhirAnswer(status, bundle{ResourceType: "Bundle", Type: "message", Entry: []bundleEntry{{Resource: header}}})
	default:
		return answer{}, false
	}
	a.reason = "fault: " + f.String()
	return a, true
}
