package contract

import (
	"net/http"
	"slices"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// AnswerHeaders returns the names of the HTTP headers that a reply takes over from the answer.
func AnswerHeaders() []string { return slices.Clone(answerHeaders[:]) }

var answerHeaders = [...]string{"Location", "Content-Location", "ETag", "Last-Modified", "Retry-After", "Expires", "X-Progress"}

// canonical are the names of answerHeaders as net/http has them.
var canonical = func() (keys [len(answerHeaders)]string) {
	for i, name := range answerHeaders {
		keys[i] = http.CanonicalHeaderKey(name)
	}
	return keys
}()

// AnswerHeader returns the HTTP headers of an answer that its reply takes over, without values that
// cannot be in a NATS header; nil when there are none.
func AnswerHeader(from http.Header) (kept http.Header) {
	for _, key := range canonical {
		values := from[key]
		if len(values) == 0 || wire.ValueFault(values[0]) != "" {
			continue
		}
		if kept == nil {
			kept = make(http.Header, len(answerHeaders))
		}
		kept[key] = values[:1:1]
	}
	return kept
}
