package platform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

const logID = "d758ea49-027b-4d6e-b4dd-a3500d8cc2e8"

// Answers in the two forms that Redox's documents have shown, and in the shortest.
const (
	current = `{"meta":{"version":"1.0.0"},"payload":{"result":{"id":"` + logID + `","createdAt":"2024-01-02T03:04:05.678Z","dataModel":"PatientAdmin",
		"eventType":"NewPatient","destination":{"id":"d710d1fd-15ef-4f84-9eab-16f03f9f5f87","name":"Timothy"},
		"attempts":{"total":2,"latest":{"id":"497f6eca","attemptAt":"2024-01-02T03:04:06Z","status":"succeeded","operations":[{"type":"blobResolvers"}]}}}}}`
	older = `{"payload":{"id":"x","status":"filtered","dataModel":"Clinical Summary","createdAt":"2021-04-02T22.52.38.093Z","source":{"organization":{"id":98765}},
		"attempts":{"total":25,"latest":{"attemptAt":"2021-05-06T22:52:38.093Z","status":"failed","failedStage":"receive-request"}}}}`
	shortest = `{"id":"x","attempts":{"total":1,"latest":{"status":"pending"}}}`
)

// answering is a Deliver that answers always the same and keeps what it was given.
type answering struct {
	answer outbox.Answer
	err    error
	got    []outbox.Message
}

func (a *answering) deliver(_ context.Context, m outbox.Message) (outbox.Answer, error) {
	a.got = append(a.got, m)
	return a.answer, a.err
}

func TestLook(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want Log
	}{
		"current": {current, Log{
			ID: logID, Status: Succeeded, Attempts: 2, AttemptAt: time.Date(2024, 1, 2, 3, 4, 6, 0, time.UTC), DataModel: "PatientAdmin", EventType: "NewPatient",
			Destination: "d710d1fd-15ef-4f84-9eab-16f03f9f5f87", Created: time.Date(2024, 1, 2, 3, 4, 5, 678_000_000, time.UTC),
		}},
		"older": {older, Log{
			ID: logID, Status: Failed, Attempts: 25, AttemptAt: time.Date(2021, 5, 6, 22, 52, 38, 93_000_000, time.UTC), DataModel: "Clinical Summary", FailedStage: "receive-request",
		}},
		"shortest":           {shortest, Log{ID: logID, Status: Pending, Attempts: 1}},
		"behind a mark":      {"\xef\xbb\xbf" + shortest, Log{ID: logID, Status: Pending, Attempts: 1}},
		"status at the top":  {`{"payload":{"status":"filtered"}}`, Log{ID: logID, Status: Filtered}},
		"of surprising kind": {`{"payload":{"status":"failed","attempts":{"total":"3","latest":{"status":7e1,"failedStage":{"x":1}}},"dataModel":["Timothy"]}}`, Log{ID: logID, Status: "7e1", Attempts: 3}},
		"free text":          {`{"payload":{"status":"failed","attempts":{"latest":{"failedStage":"Timothy <b>"}}}}`, Log{ID: logID, Status: Failed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &answering{answer: outbox.Answer{Status: 200, Body: []byte(tc.body)}}
			got, err := Logs{Deliver: a.deliver, Source: "me", Organization: "4711"}.Look(t.Context(), logID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			m := a.got[0]
			if m.Kind != outbox.KindPlatform || m.Method != "GET" || m.Source != "me" || m.Lane != contract.LaneRequest || m.Path != "v1/organizations/4711/logs/"+logID {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestLook_Backfill(t *testing.T) {
	t.Parallel()
	a := &answering{answer: outbox.Answer{Status: 200, Body: []byte(shortest)}}
	if _, err := (Logs{Deliver: a.deliver, Organization: "1", Backfill: true}).Look(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if got := a.got[0].Path; got != "v1/organizations/1/logs/x?dataMode=backfill" {
		t.Error(got)
	}
}

func TestLook_Errors(t *testing.T) {
	t.Parallel()
	down := errors.New("redox: unavailable")
	for name, tc := range map[string]struct {
		id     string
		answer outbox.Answer
		err    error
		is     error
		says   string
	}{
		"not there":     {id: logID, answer: outbox.Answer{Status: 404, Body: []byte("Timothy")}, err: down, is: ErrNoLog, says: "redox shows no log of this id"},
		"unavailable":   {id: logID, answer: outbox.Answer{Status: 503}, err: down, is: down, says: "redox: unavailable"},
		"not JSON":      {id: logID, answer: outbox.Answer{Status: 200, Body: []byte("<Timothy>")}, is: ErrUnreadable, says: "not JSON"},
		"no status":     {id: logID, answer: outbox.Answer{Status: 200, Body: []byte(`{"payload":{"result":{"Timothy":1}}}`)}, is: ErrUnreadable, says: "no status"},
		"another form":  {id: logID, answer: outbox.Answer{Status: 200, Body: []byte(`["Timothy"]`)}, is: ErrUnreadable, says: "not JSON, or of another shape"},
		"a path":        {id: "../x", is: ErrBadID},
		"a query":       {id: "x?y", is: ErrBadID},
		"empty":         {id: "", is: ErrBadID},
		"much too long": {id: strings.Repeat("x", 65), is: ErrBadID},
	} {
		a := &answering{answer: tc.answer, err: tc.err}
		_, err := Logs{Deliver: a.deliver, Organization: "1"}.Look(t.Context(), tc.id)
		if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "Timothy") {
			t.Errorf("%s: %v", name, err)
		}
		if errors.Is(err, ErrBadID) == (len(a.got) > 0) {
			t.Errorf("%s: %d requests", name, len(a.got))
		}
	}
}

// status is an error of a Deliver that got an answer.
type status int

func (status) Error() string { return "redox: refused" }
func (s status) Status() int { return int(s) }

func TestOneLog(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"none":           {nil, false},
		"no log":         {fmt.Errorf("x: %w", ErrNoLog), true},
		"bad id":         {ErrBadID, true},
		"unreadable":     {ErrUnreadable, true},
		"bad request":    {fmt.Errorf("x: %w", status(400)), true},
		"no rights":      {status(403), false},
		"too many":       {status(429), false},
		"unavailable":    {status(503), false},
		"without answer": {errors.New("redox: no connection"), false},
	} {
		if OneLog(tc.err) != tc.want {
			t.Errorf("%s: want %t", name, tc.want)
		}
	}
}

func TestStatus_Final(t *testing.T) {
	t.Parallel()
	for status, want := range map[Status]bool{Succeeded: true, Failed: true, Filtered: true, Pending: false, "": false, "7e1": false} {
		if status.Final() != want {
			t.Error(status)
		}
	}
}

// FuzzParse: whatever Redox answers, nothing but plain words comes through.
func FuzzParse(f *testing.F) {
	for _, s := range []string{current, older, shortest, `{"payload":{"result":null}}`, `{"payload":[]}`, `{"status":"a\nb"}`, `{"payload":{"dataModel":"0","attempts":{"latest":{"status":"0"}}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := parse(body)
		if err != nil {
			return
		}
		if l.Status == "" || l.Attempts < 0 {
			t.Fatalf("%+v", l)
		}
		for _, s := range []string{l.ID, string(l.Status), l.FailedStage, l.DataModel, l.EventType, l.Destination} {
			if s != "" && s != contract.NoName && !isPlain(s) {
				t.Fatalf("%q came through", s)
			}
		}
	})
}
