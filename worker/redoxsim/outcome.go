package redoxsim

import (
	"net/http"
	"strconv"
)

const (
	fhirJSON = "application/fhir+json"
	fhirType = fhirJSON + "; charset=utf-8"
)

// operationOutcome is how FHIR says that something went wrong, in an error and in a 200 alike.
type operationOutcome struct {
	ResourceType string  `json:"resourceType"`
	Issue        []issue `json:"issue"`
}

// issue has the members that were seen from Redox's sandbox.
type issue struct {
	Severity    string    `json:"severity"`
	Code        string    `json:"code"`
	Details     issueText `json:"details"`
	Diagnostics string    `json:"diagnostics,omitempty"`
}

type issueText struct {
	Coding []issueCoding `json:"coding,omitempty"`
	Text   string        `json:"text"`
}

type issueCoding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

// outcomeAnswer is an OperationOutcome with one error.
func outcomeAnswer(status int, text string) answer {
	a := fhirAnswer(status, operationOutcome{"OperationOutcome", []issue{
		{Severity: "error", Code: issueCode(status), Details: issueText{Text: text}, Diagnostics: "status " + strconv.Itoa(status)},
	}})
	a.reason = text
	return a
}

func fhirAnswer(status int, v any) answer {
	a := jsonAnswer(status, v)
	a.contentType = fhirType
	return a
}

// issueCode is the code of FHIR's IssueType that belongs to a status.
func issueCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not-found"
	case http.StatusPreconditionFailed:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return "too-long"
	}
	return "exception"
}

// fhirFailed is a request that the destination answered badly: issues in a 200, and its status (Redox, Queries, 2025).
// Where the status stands in an OperationOutcome is not documented; it is put where only a person would look.
func (s *Server) fhirFailed(x *exchange, status int) answer {
	if status == 0 {
		status = http.StatusOK
	}
	a := fhirAnswer(status, operationOutcome{"OperationOutcome", []issue{{
		Severity: "error", Code: "processing", Details: issueText{Text: "The destination returned an error"},
		Diagnostics: "DestinationStatusCode 400",
	}}})
	a.logIDs, a.reason = x.newLogs(), "the destination failed"
	return a
}
