package outbox

import "net/http"

// Answer is what the far side answered to one attempt.
type Answer struct {
	// Status is the HTTP status; 0 when no answer came.
	Status int
	// ContentType and Body are as received.
	ContentType string
	Body        []byte
	// Header are the HTTP headers of the answer that its reply has; see [AnswerHeader].
	Header http.Header
	// LogIDs are the ids of Meta.Logs, with which Redox support finds a message.
	LogIDs []string
	// Flag is a safe text for the header Redox-Error of an answer that was
	// delivered and yet reports a problem; empty for none.
	Flag string
	// Hosts are the pause scopes of the hosts that were asked, in this order: what came of
	// the attempt, the error beside the answer included, came of the last. nil leaves open
	// which of those that the message depends on were.
	Hosts []string
}
