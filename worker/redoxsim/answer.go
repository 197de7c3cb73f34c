package redoxsim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/jsonread"
	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/synthetic"
)

const jsonType = "application/json; charset=utf-8"

// answer is what goes back, before a fault damages it.
type answer struct {
	status      int
	contentType string
	header      http.Header // further headers; may be nil
	body        []byte
	stream      func(io.Writer) error // instead of a body: writes it, the same at each call
	accepted    bool                  // Redox took the message
	logIDs      []string              // Meta.Logs[].ID
	reason      string                // for the record
}

// length of the body.
func (a *answer) length() int64 {
	if a.stream == nil {
		return int64(len(a.body))
	}
	var c counter
	_ = a.stream(&c) // it never fails
	return int64(c)
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// writeTo writes the body. Nothing is to be done when the client is gone.
func (a *answer) writeTo(w io.Writer) {
	if a.stream != nil {
		_ = a.stream(w)
		return
	}
	_, _ = w.Write(a.body)
}

// gather takes a body that would be streamed into memory, to be damaged.
func (a *answer) gather() {
	if a.stream == nil {
		return
	}
	var b bytes.Buffer
	_ = a.stream(&b) // it never fails
	a.body, a.stream = b.Bytes(), nil
}

// answerMeta is the Meta of an answer (Redox, Send).
type answerMeta struct {
	DataModel    string      `json:"DataModel,omitempty"`
	EventType    string      `json:"EventType,omitempty"`
	Source       *idName     `json:"Source,omitempty"`
	Destinations []idName    `json:"Destinations,omitempty"`
	Logs         []logRef    `json:"Logs,omitempty"`
	Errors       []errorItem `json:"Errors,omitempty"`
}

type idName struct {
	ID   string `json:"ID"`
	Name string `json:"Name,omitempty"`
}

type logRef struct {
	ID        string `json:"ID"`
	AttemptID string `json:"AttemptID"`
}

// errorItem is one of Meta.Errors[]; ID is opaque.
type errorItem struct {
	ID                    uint64 `json:"ID,omitempty"`
	Text                  string `json:"Text"`
	Type                  string `json:"Type"`
	Module                string `json:"Module"`
	DestinationStatusCode int    `json:"DestinationStatusCode,omitempty"`
}

// metaOf is the Meta of an answer to a message: with one log per destination, as Redox makes them for a SEND.
func (x *exchange) metaOf(eventType string) (answerMeta, []string) {
	m := x.msg
	meta := answerMeta{DataModel: m.dataModel, EventType: eventType}
	if x.source != "" {
		meta.Source = &idName{ID: x.source}
	}
	ids := make([]string, len(m.destinations))
	for i, d := range m.destinations {
		ids[i] = uuid()
		meta.Destinations = append(meta.Destinations, idName{d.ID, d.Name})
		meta.Logs = append(meta.Logs, logRef{ids[i], uuid()})
	}
	return meta, ids
}

func (s *Server) answerSend(x *exchange) answer {
	meta, ids := x.metaOf(x.msg.eventType)
	a := jsonAnswer(http.StatusOK, struct{ Meta answerMeta }{meta})
	a.accepted, a.logIDs = true, ids
	s.useFiles(x.msg)
	return a
}

// answerQuery puts a synthetic result before the Meta.
func (s *Server) answerQuery(x *exchange) answer {
	meta, ids := x.metaOf(x.msg.eventType) // the query's own, as in all recordings; Redox's "Response" events are schemas
	a := jsonAnswer(http.StatusOK, struct{ Meta answerMeta }{meta})
	a.body = splice(synthetic.Result(x.msg.dataModel, x.msg.eventType), a.body)
	a.accepted, a.logIDs = true, ids
	return a
}

// splice joins two JSON objects, the first of which may be "{}".
func splice(first, second []byte) []byte {
	if bytes.Equal(first, []byte("{}")) {
		return second
	}
	joined := make([]byte, 0, len(first)+len(second))
	joined = append(joined, first[:len(first)-1]...)
	joined = append(joined, ',')
	return append(joined, second[1:]...)
}

// complain answers a refused message in the words of its API.
func (s *Server) complain(x *exchange, c *complaint) answer {
	switch {
	case x.isFHIR():
		return s.complainFHIR(x, c)
	case x.route != nil && x.route.kind != dataModelAPI: // no error body of these is documented (inferred: as the 401)
		a := textAnswer(c.status, c.text)
		a.reason = c.text
		return a
	}
	meta := answerMeta{DataModel: x.msg.dataModel, EventType: x.msg.eventType}
	meta.Errors = []errorItem{{ID: x.errorID(), Text: c.text, Type: "message", Module: c.module}}
	a := jsonAnswer(c.status, struct{ Meta answerMeta }{meta})
	a.reason = c.text
	return a
}

// destinationFailed is a message that the destination answered badly: Meta.Errors[] in a 200 (Redox, Queries, 2025), or
// the 400 of a recording of 2020.
func (s *Server) destinationFailed(x *exchange, status int) answer {
	if x.isFHIR() {
		return s.fhirFailed(x, status)
	}
	meta, ids := x.metaOf(x.msg.eventType)
	item := errorItem{
		ID: x.errorID(), Text: "Data Chateau v2 service returned status code 400", Type: "transmission", Module: "Send",
	}
	if status == 0 || status == http.StatusOK {
		status, item.DestinationStatusCode = http.StatusOK, 400
	}
	meta.Errors = []errorItem{item}
	a := jsonAnswer(status, struct{ Meta answerMeta }{meta})
	a.logIDs, a.reason = ids, "the destination failed"
	return a
}

func (x *exchange) errorID() uint64 { return 84_600_000 + x.seq }

// failed is the answer of a fault that replaces the real one.
func (s *Server) failed(x *exchange, f *Fault) answer {
	var a answer
	switch status := f.Status; status {
	case http.StatusBadRequest:
		a = s.complain(x, missing("Patient.Identifiers", x.shownEvent()))
	case http.StatusUnauthorized:
		a = unauthorized("fault")
	case http.StatusTooManyRequests:
		a = limited(s.QuotaInForce().Limit)
	case http.StatusForbidden, http.StatusNotFound, http.StatusInternalServerError:
		a = textAnswer(status, http.StatusText(status))
		if x.isFHIR() {
			a = outcomeAnswer(status, http.StatusText(status))
		}
	default:
		a = textAnswer(status, http.StatusText(status))
	}
	if f.Action == Errors && x.hasDestination() {
		a = s.destinationFailed(x, f.Status)
	}
	if f.Status == http.StatusNoContent || f.Status == http.StatusNotModified {
		a.body = nil
	}
	if f.Body != "" {
		a.body = []byte(f.Body)
		if jsonread.Valid(a.body) {
			a.contentType = jsonType
			if x.isFHIR() {
				a.contentType = fhirType
			}
		}
	}
	return a
}

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

// unauthorized is Redox's 401, as recorded: 15 bytes that are not JSON, sent as text/html.
func unauthorized(reason string) answer {
	a := textAnswer(http.StatusUnauthorized, "Invalid request")
	a.reason = reason
	return a
}

// textAnswer is an answer in plain text, which Redox sends as text/html.
func textAnswer(status int, text string) answer {
	return answer{status: status, contentType: "text/html; charset=utf-8", body: []byte(text)}
}

// jsonAnswer is an answer with a JSON body.
func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil { // only for values that cannot be JSON; ours can
		return textAnswer(http.StatusInternalServerError, "Internal Server Error")
	}
	return answer{status: status, contentType: jsonType, body: body}
}
