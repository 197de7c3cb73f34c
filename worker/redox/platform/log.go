package platform

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/redoxworker/redoxworker/auth/httpanswer"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Status of the latest attempt of Redox to deliver a message, in Redox's words.
type Status string

// The statuses that Redox documents (Redox, Get log by id).
const (
	// Succeeded: the destination has the message.
	Succeeded Status = "succeeded"
	// Failed: the latest attempt failed. Redox may go on trying; see its dashboard.
	Failed Status = "failed"
	// Filtered: a filter of Redox kept the message from the destination.
	Filtered Status = "filtered"
	// Pending: there is more to come.
	Pending Status = "pending"
)

// Final reports whether Redox has said how the delivery ended. A status that is not
// documented is not final.
func (s Status) Final() bool { return s == Succeeded || s == Failed || s == Filtered }

// Log is what Redox's log says about the delivery of one message to one destination.
// Fields that the answer left out are zero.
type Log struct {
	ID     string `json:"id"`
	Status Status `json:"status"`
	// Attempts that Redox made, the latest included.
	Attempts int `json:"attempts"`
	// AttemptAt is when it made the latest.
	AttemptAt time.Time `json:"attempt_at,omitzero"`
	// FailedStage is where the latest attempt failed, in Redox's words.
	FailedStage string `json:"failed_stage,omitempty"`
	DataModel   string `json:"data_model,omitempty"`
	EventType   string `json:"event_type,omitempty"`
	// Destination is its id.
	Destination string    `json:"destination,omitempty"`
	Created     time.Time `json:"created,omitzero"`
}

var (
	errNotJSON  = errors.New("it is not JSON, or of another shape")
	errNoStatus = errors.New("it holds no status of an attempt")
)

// parse reads an answer. Redox's documents show the log below payload.result, older ones
// below payload; it is also found at the top. Redox may add fields at any time.
func parse(body []byte) (Log, error) {
	var outer struct {
		rawLog
		Payload struct {
			rawLog
			Result rawLog `json:"result"`
		} `json:"payload"`
	}
	if err := json.Unmarshal(httpanswer.WithoutMark(body), &outer); err != nil {
		return Log{}, errNotJSON // err quotes it
	}
	for _, raw := range []rawLog{outer.Payload.Result, outer.Payload.rawLog, outer.rawLog} {
		if l := raw.log(); l.Status != "" {
			return l, nil
		}
	}
	return Log{}, errNoStatus
}

// rawLog is a log as Redox writes it.
type rawLog struct {
	ID          text `json:"id"`
	CreatedAt   text `json:"createdAt"`
	DataModel   text `json:"dataModel"`
	EventType   text `json:"eventType"`
	Status      text `json:"status"`
	Destination struct {
		ID text `json:"id"`
	} `json:"destination"`
	Attempts struct {
		Total  text `json:"total"`
		Latest struct {
			AttemptAt   text `json:"attemptAt"`
			Status      text `json:"status"`
			FailedStage text `json:"failedStage"`
		} `json:"latest"`
	} `json:"attempts"`
}

func (r rawLog) log() Log {
	l := Log{
		ID: string(r.ID), Status: Status(r.Attempts.Latest.Status), FailedStage: string(r.Attempts.Latest.FailedStage),
		DataModel: contract.SafeName(string(r.DataModel)), EventType: contract.SafeName(string(r.EventType)), Destination: string(r.Destination.ID),
		AttemptAt: r.Attempts.Latest.AttemptAt.time(), Created: r.CreatedAt.time(),
	}
	if l.Status == "" {
		l.Status = Status(r.Status)
	}
	if n, err := strconv.Atoi(string(r.Attempts.Total)); err == nil && n > 0 {
		l.Attempts = n
	}
	return l
}

// text is a string or a number that looks like a word, an identifier or a time; anything
// else is "": neither a surprise nor a patient's data is passed on.
type text string

// UnmarshalJSON accepts every value.
func (t *text) UnmarshalJSON(value []byte) error {
	*t = ""
	var s string
	if len(value) > 0 && value[0] != '"' {
		s = string(value)
	} else if json.Unmarshal(value, &s) != nil {
		return nil
	}
	if isPlain(s) {
		*t = text(s)
	}
	return nil
}

func (t text) time() time.Time {
	at, err := time.Parse(time.RFC3339, string(t))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// isPlain reports whether s is 1 to 64 letters, digits, spaces and "-_.:+".
func isPlain(s string) bool {
	if s == "" || len(s) > 64 || s == "null" || s == "true" || s == "false" {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == ':', c == '+', c == ' ':
		default:
			return false
		}
	}
	return true
}
