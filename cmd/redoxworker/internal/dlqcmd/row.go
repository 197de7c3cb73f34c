package dlqcmd

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// deadRow is a dead letter as --json prints it.
type deadRow struct {
	ID           string            `json:"id"`
	Source       string            `json:"source,omitempty"`
	Settlement   outbox.Settlement `json:"settlement"`
	Error        string            `json:"error,omitempty"`
	Status       int               `json:"status,omitempty"`
	Attempts     int               `json:"attempts"`
	At           time.Time         `json:"at"`
	DataModel    string            `json:"data_model,omitempty"`
	EventType    string            `json:"event_type,omitempty"`
	Size         int               `json:"size"`
	Object       string            `json:"object,omitempty"`
	Subject      string            `json:"subject,omitempty"`
	Sequence     uint64            `json:"sequence"`
	Worker       string            `json:"worker,omitempty"`
	DeadSequence uint64            `json:"dead_sequence"`
	Stored       time.Time         `json:"stored"`
	ReplayOf     string            `json:"replay_of,omitempty"`
	ReplayCount  string            `json:"replay_count,omitempty"`
	Edited       int               `json:"edited,omitempty"`
	Behind       uint64            `json:"behind,omitempty"`
	Kind         outbox.Kind       `json:"kind,omitempty"`
	Sealed       string            `json:"sealed,omitempty"`

	// Of show and export.
	Headers map[string][]string `json:"headers,omitempty"`
	deadBody
}

// deadBody is empty unless it is revealed. One of the three: JSON, other text, other bytes in
// base64. JSON that is to come back as it was, and has blanks between its values, is also text.
type deadBody struct {
	Body       json.RawMessage `json:"body,omitempty"`
	BodyText   string          `json:"body_text,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

func newDeadBody(body []byte) deadBody {
	switch {
	case json.Valid(body):
		return deadBody{Body: body}
	case utf8.Valid(body):
		return deadBody{BodyText: string(body)}
	default:
		return deadBody{BodyBase64: body}
	}
}

// exact adds the bytes of a body that JSON would not give back.
func (b deadBody) exact() deadBody {
	var compact bytes.Buffer
	if b.Body != nil && json.Compact(&compact, b.Body) == nil && !bytes.Equal(compact.Bytes(), b.Body) {
		b.BodyText = string(b.Body)
	}
	return b
}

// newDeadRow has no headers and no body; see addHeaders.
func newDeadRow(l dlq.Stored) deadRow {
	return deadRow{
		ID: l.MessageID, Source: l.Source, Settlement: l.Settlement, Error: l.Error, Status: l.Status, Attempts: l.Attempts, At: l.At,
		DataModel: l.DataModel, EventType: l.EventType, Size: l.Size, Object: l.Object(), Subject: outbox.SafeSubject(l.Subject), Sequence: l.Sequence,
		Worker: l.Worker, DeadSequence: l.DeadSequence, Stored: l.Stored,
		ReplayOf: headerOf(l.Header, outbox.HeaderReplayOf), ReplayCount: headerOf(l.Header, outbox.HeaderReplayCount),
		Edited: l.Edits(), Behind: l.Behind, Kind: l.Kind(), Sealed: l.SealedBy(),
	}
}

// model is DataModel.EventType, as far as they are known.
func (r deadRow) model() string { return strings.Trim(r.DataModel+"."+r.EventType, ".") }

func headerOf(h nats.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// addHeaders adds the headers, with all that they and the subject hold where that is to be
// revealed.
func (r *deadRow) addHeaders(l dlq.Stored, reveal bool) {
	r.Headers = headersOf(l, reveal)
	if reveal {
		r.Subject = l.Subject
	}
}

// shownHeaders are those whose values hold no patient data by the contract.
var shownHeaders = []string{
	outbox.HeaderKind, outbox.HeaderMethod, outbox.HeaderContentType, outbox.HeaderAccept, outbox.HeaderReplyTo, outbox.HeaderOrderToken,
	outbox.HeaderOrderPosition, outbox.HeaderOrderBehind, outbox.HeaderDeadline, outbox.HeaderBodyObject, outbox.HeaderTraceParent, outbox.HeaderTraceState,
	outbox.HeaderReplayOf, outbox.HeaderReplayCount, outbox.HeaderEdited, outbox.HeaderMoved,
}

const hiddenValue = "(hidden; see --reveal)"

// headersOf hides what may hold patient data: paths, their query strings, and headers that
// are the application's own.
func headersOf(l dlq.Stored, reveal bool) map[string][]string {
	all := map[string][]string{}
	for name, values := range l.Header {
		all[name] = values
		if !reveal && !shownHeader(l, name) {
			all[name] = []string{hiddenValue}
		}
	}
	return all
}

// shownHeader reports whether the value of a header may be shown. That of a message which may
// have broken the contract could be anything but for a kind that there is.
func shownHeader(l dlq.Stored, name string) bool {
	if l.Settlement != outbox.Poison {
		return slices.Contains(shownHeaders, name)
	}
	switch outbox.Kind(headerOf(l.Header, name)) {
	case outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform:
		return name == outbox.HeaderKind && len(l.Header[name]) == 1
	}
	return false
}
