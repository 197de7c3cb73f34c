package dlqcmd

import (
	"encoding/json"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// deadRow is a dead letter as --json prints it.
type deadRow struct {
	operate.Row
	// Of show and export.
	Headers map[string][]string `json:"headers,omitempty"`
	deadBody
}

// deadBody is empty unless it is revealed; see [operate.RowBody].
type deadBody struct {
	Body       json.RawMessage `json:"body,omitempty"`
	BodyText   string          `json:"body_text,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

func newDeadBody(body []byte, exact bool) (b deadBody) {
	b.Body, b.BodyText, b.BodyBase64 = operate.RowBody(body, exact)
	return b
}

// newDeadRow has no headers and no body; see addHeaders.
func newDeadRow(l dlq.Stored) deadRow { return deadRow{Row: operate.NewRow(l)} }

// addHeaders adds the headers, with all that they and the subject hold where that is to be
// revealed.
func (r *deadRow) addHeaders(l dlq.Stored, reveal bool) {
	r.Headers = operate.RowHeaders(l, reveal)
	if reveal {
		r.Subject = l.Subject
	}
}
