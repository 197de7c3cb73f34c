package outbox

import "net/http"

// Answer is what the far side answered to one attempt.
type Answer struct {
	// Status is the HTTP status; 0 when no answer came.
	Status int
	// ContentType and Body are as received.
	ContentType string
	Body        []byte
	// Header holds the HTTP headers of the answer that go into its reply; see [contract.AnswerHeader].
	Header http.Header
	// LogIDs are the ids of Meta.Logs, with which Redox support finds a message.
	LogIDs []string
	// Flag is a safe text for the header Redox-Error of a delivered message whose answer reports a
	// problem; empty for none.
	Flag string
	// Hosts lists the pause scopes of the hosts that were asked, in order. The answer, and the
	// error beside it, came from the last one. nil means that it is not known which hosts were
	// asked.
	Hosts []string
}
