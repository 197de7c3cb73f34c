package answer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// Answers as Redox gives them.
const (
	acceptedID     = "0d38b2a5-5b6a-4a2b-9a3c-5f2f9f4d1c11"
	acceptedAnswer = `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient","Source":{"ID":"7ce6f387-c33c-417d-8682-81e83628cbd9"},` +
		`"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}],"Logs":[{"ID":"` + acceptedID + `","AttemptID":"925d1617-2fe0-468c-a14c-f8c04b572c54"}]}}`
	inMeta         = `{"Meta":{"DataModel":"A","Errors":[{"ID":5,"Text":"Timothy 1977-01-06","Type":"message","Module":"Subscriptions"}],"Logs":[{"ID":"log-1"}]}}`
	atTop          = `{"Errors":[{"ID":531829,"Text":"Timothy","Type":"message","Module":"DataModels"}]}`
	farSide        = `{"Meta":{"Errors":[{"ID":84607512,"Text":"Timothy","Type":"transmission","Module":"Send"}]},"Patient":{}}`
	outcomeError   = `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","diagnostics":"Timothy"}]}`
	outcomeWarning = `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing"}]}`
	plain401       = `Invalid request`
)

func TestFind(t *testing.T) {
	t.Parallel()
	ids := func(n int) (body string, want []string) {
		var logs []string
		for i := range n {
			id := fmt.Sprintf("log-%d", i)
			logs = append(logs, `{"AttemptID":"x","ID":"`+id+`"}`)
			want = append(want, id)
		}
		return `{"Meta":{"Logs":[` + strings.Join(logs, ",") + `]}}`, want[:min(n, maxLogIDs)]
	}
	many, manyIDs := ids(1000)
	for name, tc := range map[string]struct {
		body string
		want Findings
	}{
		"accepted":              {acceptedAnswer, Findings{LogIDs: []string{acceptedID}}},
		"Meta.Errors":           {inMeta, Findings{LogIDs: []string{"log-1"}, Failed: true, remote: []string{"message/Subscriptions"}}},
		"Errors":                {atTop, Findings{Failed: true, remote: []string{"message/DataModels"}}},
		"transmission":          {farSide, Findings{Failed: true, Transmission: true, remote: []string{"transmission/Send"}}},
		"outcome":               {outcomeError, Findings{Failed: true, remote: []string{"processing"}}},
		"outcome, warning":      {outcomeWarning, Findings{}},
		"outcome, fatal":        {`{"issue":[{"severity":"information"},{"code":"x y","severity":"fatal"}],"resourceType":"OperationOutcome"}`, Findings{Failed: true}},
		"issue of a bundle":     {`{"resourceType":"Bundle","issue":[{"severity":"error"}]}`, Findings{}},
		"old shape":             {`{"Meta":{"Message":{"ID":4242},"Transmission":{"ID":1}}}`, Findings{}},
		"query":                 {`{"Patient":{"Errors":[{"Type":"x"}]},"Meta":{"Logs":[{"ID":"a"}]}}`, Findings{LogIDs: []string{"a"}}},
		"many logs":             {many, Findings{LogIDs: manyIDs}},
		"number ids":            {`{"Meta":{"Logs":[{"ID":7}]}}`, Findings{LogIDs: []string{"7"}}},
		"odd logs":              {`{"Meta":{"Logs":[null,"x",7,{},{"ID":null},{"ID":{}},{"ID":"a b"},{"ID":"a\r\nb"},{"ID":"` + strings.Repeat("x", 65) + `"}]}}`, Findings{}},
		"odd Meta":              {`{"Meta":["Logs"]}`, Findings{}},
		"odd Logs":              {`{"Meta":{"Logs":{"ID":"a"}}}`, Findings{}},
		"no errors":             {`{"Meta":{"Errors":[]},"Errors":{}}`, Findings{}},
		"no errors, spread out": {"{\"Errors\":{ \r\n\t}}", Findings{}},
		"more empty errors":     {`{"Meta":{"Errors":""},"Errors":false}`, Findings{}},
		"text errors":           {`{"Errors":"Timothy"}`, Findings{Failed: true}},
		"object errors":         {`{"Meta":{"Errors":{"Type":"message"}}}`, Findings{Failed: true}},
		"list of texts":         {`{"Errors":["Timothy",null]}`, Findings{Failed: true}},
		"unsafe types":          {`{"Errors":[{"Type":"Timothy Bixby","Module":"born 1977"},{"Type":7,"Module":"Send"}]}`, Findings{Failed: true, remote: []string{"/Send"}}},
		"same and many types":   {`{"Errors":[{"Type":"a"},{"Type":"a"},{"Type":"b"},{"Type":"c"},{"Type":"d"},{"Type":"e"}]}`, Findings{Failed: true, remote: []string{"a", "b", "c", "d"}}},
		"escaped names":         {`{"M\u0065ta":{"\u0045rrors":[{"\u0054ype":"\u0074ransmission"}]}}`, Findings{Failed: true, Transmission: true, remote: []string{"transmission"}}},
		"two Metas":             {`{"Meta":{"Logs":[{"ID":"a"}]},"Meta":{"Errors":[{}]}}`, Findings{LogIDs: []string{"a"}, Failed: true}},
		"Latin-1":               {"{\"Meta\":{\"Logs\":[{\"ID\":\"a\"}],\"x\":\"M\xfcller\"}}", Findings{LogIDs: []string{"a"}}},
		"byte order mark":       {"\ufeff" + atTop, Findings{Failed: true, remote: []string{"message/DataModels"}}},
		"array":                 {`[1]`, Findings{}},
		"text":                  {`Invalid request`, Findings{Broken: true}},
		"HTML":                  {`<html>`, Findings{Broken: true}},
		"empty":                 {``, Findings{Broken: true}},
		"half":                  {`{"Meta":{"Logs":[{"ID":"a"}`, Findings{LogIDs: []string{"a"}, Broken: true}},
		"half an error":         {`{"Errors":[{"Type":"message"`, Findings{Failed: true, remote: []string{"message"}, Broken: true}},
		"half an outcome":       {`{"resourceType":"OperationOutcome","issue":[{"severity":"error"},{`, Findings{Failed: true, Broken: true}},
		"trailing":              {`{} {}`, Findings{Broken: true}},
		"half a list":           {`[1`, Findings{Broken: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Find([]byte(tc.body))
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(Findings{}), cmpopts.IgnoreFields(Findings{}, "Meta", "Markup", "HTML", "lasting")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFind_KeepsNothingOfTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(inMeta)
	f := Find(body)
	clear(body)
	if f.LogIDs[0] != "log-1" || f.remote[0] != "message/Subscriptions" {
		t.Errorf("%+v", f)
	}
}

func FuzzFind(f *testing.F) {
	for _, seed := range []string{acceptedAnswer, inMeta, atTop, farSide, outcomeError, outcomeWarning, plain401, ``, `{`, `[]`, `{"Errors":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := Find(body)
		if len(got.LogIDs) > maxLogIDs || len(got.remote) > maxRemote {
			t.Errorf("unbounded: %+v", got)
		}
		for _, id := range got.LogIDs {
			if !jsonscan.IsIdentifier(id) {
				t.Errorf("log id %q", id)
			}
		}
		if text := got.RemoteText(); strings.ContainsFunc(text, func(r rune) bool {
			return !jsonscan.IsIdentifier(string(r)) && !strings.ContainsRune("/, ", r)
		}) {
			t.Errorf("unsafe text %q", text)
		}
		// encoding/json is laxer about UTF-8, as find is, and has a lower limit of depth.
		if json.Valid(body) && got.Broken {
			t.Error("called valid JSON broken")
		}
	})
}
