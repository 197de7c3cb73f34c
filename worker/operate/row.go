package operate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// Row is a dead letter as programs are told of it, in JSON: by the commands, and by the console. It holds
// no patient data; [RowHeaders] and [RowBody] are what is told beside it.
type Row struct {
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
}

// NewRow is the row of l.
func NewRow(l dlq.Stored) Row {
	r := Row{
		ID: l.MessageID, Source: l.Source, Settlement: l.Settlement, Error: l.Error, Status: l.Status, Attempts: l.Attempts, At: l.At,
		DataModel: l.DataModel, EventType: l.EventType, Size: l.Size, Object: l.Object(), Subject: outbox.SafeSubject(l.Subject), Sequence: l.Sequence,
		Worker: l.Worker, DeadSequence: l.DeadSequence, Stored: l.Stored,
		ReplayOf: first(l, contract.HeaderReplayOf), ReplayCount: first(l, contract.HeaderReplayCount),
		Edited: l.Edits(), Behind: l.Behind, Kind: l.Kind(), Sealed: l.SealedBy(),
	}
	if l.Settlement != outbox.Poison {
		return r
	}
	// What broke the contract may be in any of these.
	if !hasForm(contract.HeaderReplayCount, r.ReplayCount) {
		r.ReplayCount = ""
	}
	if !isOneWord(r.ReplayOf) {
		r.ReplayOf = ""
	}
	if !isOneWord(r.Object) || !strings.HasPrefix(r.Object, contract.BodyName(cmp.Or(l.Source, contract.NoSource), "")) {
		r.Object = ""
	}
	return r
}

// isOneWord reports whether a text is of visible ASCII characters, as ids are.
func isOneWord(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
}

// Model is DataModel.EventType, as far as they are known.
func (r Row) Model() string { return strings.Trim(r.DataModel+"."+r.EventType, ".") }

func first(l dlq.Stored, header string) string {
	if v := l.Header[header]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Hidden stands for the value of a header that is not shown.
const Hidden = "(hidden; see --reveal)"

// RowHeaders are the headers of l. Those that may hold patient data are [Hidden] unless they are to be
// revealed: paths, their query strings, and headers that are the application's own.
func RowHeaders(l dlq.Stored, reveal bool) map[string][]string {
	all := make(map[string][]string, len(l.Header))
	for name, values := range l.Header {
		all[name] = values
		if !reveal && !shownHeader(l, name) {
			all[name] = []string{Hidden}
		}
	}
	return all
}

// shownHeaders are those whose values hold no patient data by the contract.
var shownHeaders = []string{
	contract.HeaderKind, contract.HeaderMethod, contract.HeaderContentType, contract.HeaderAccept, contract.HeaderReplyTo, contract.HeaderOrderToken,
	contract.HeaderOrderPosition, contract.HeaderOrderBehind, contract.HeaderDeadline, contract.HeaderBodyObject, contract.HeaderTraceParent, contract.HeaderTraceState,
	contract.HeaderReplayOf, contract.HeaderReplayCount, contract.HeaderEdited, contract.HeaderMoved,
}

// shownHeader reports whether the value of a header may be shown. That of a message which may have
// broken the contract could be anything but for a kind that there is.
func shownHeader(l dlq.Stored, name string) bool {
	if l.Settlement != outbox.Poison {
		return slices.Contains(shownHeaders, name) && !slices.ContainsFunc(l.Header[name], func(value string) bool { return !hasForm(name, value) })
	}
	return name == contract.HeaderKind && len(l.Header[name]) == 1 && l.Kind() != ""
}

// hasForm reports whether the value of a header is as the contract has it, for those of which a worker takes
// what is not for absent: whoever publishes may write anything there.
func hasForm(name, value string) bool {
	digits := func(alphabet string, most int) bool {
		return value != "" && len(value) <= most && strings.Trim(value, alphabet) == ""
	}
	switch name {
	case contract.HeaderMoved:
		return len(value) == 32 && digits("0123456789abcdef", 32)
	case contract.HeaderOrderPosition, contract.HeaderOrderBehind, contract.HeaderEdited, contract.HeaderReplayCount:
		return digits("0123456789", 20)
	case contract.HeaderTraceParent:
		return len(value) == 55 && digits("0123456789abcdef-", 55)
	case contract.HeaderTraceState:
		return strings.Contains(value, "=") && !strings.ContainsFunc(value, unicode.IsSpace)
	}
	return true
}

// RowBody is a body as one of three: JSON, other text, other bytes. Where it is to come back as it was,
// JSON with blanks between its values is also text.
func RowBody(body []byte, exact bool) (asJSON json.RawMessage, asText string, asBytes []byte) {
	if !json.Valid(body) {
		if utf8.Valid(body) {
			return nil, string(body), nil
		}
		return nil, "", body
	}
	var compact bytes.Buffer
	if exact && json.Compact(&compact, body) == nil && !bytes.Equal(compact.Bytes(), body) {
		asText = string(body)
	}
	return body, asText, nil
}
