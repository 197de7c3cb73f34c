package redox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
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
		want findings
	}{
		"accepted":              {accepted, findings{logIDs: []string{acceptedLog}}},
		"Meta.Errors":           {metaErrors, findings{logIDs: []string{"log-1"}, failed: true, remote: []string{"message/Subscriptions"}}},
		"Errors":                {topErrors, findings{failed: true, remote: []string{"message/DataModels"}}},
		"transmission":          {transmission, findings{failed: true, transmission: true, remote: []string{"transmission/Send"}}},
		"outcome":               {operation, findings{failed: true, remote: []string{"processing"}}},
		"outcome, warning":      {operationInfo, findings{}},
		"outcome, fatal":        {`{"issue":[{"severity":"information"},{"code":"x y","severity":"fatal"}],"resourceType":"OperationOutcome"}`, findings{failed: true}},
		"issue of a bundle":     {`{"resourceType":"Bundle","issue":[{"severity":"error"}]}`, findings{}},
		"old shape":             {`{"Meta":{"Message":{"ID":4242},"Transmission":{"ID":1}}}`, findings{}},
		"query":                 {`{"Patient":{"Errors":[{"Type":"x"}]},"Meta":{"Logs":[{"ID":"a"}]}}`, findings{logIDs: []string{"a"}}},
		"many logs":             {many, findings{logIDs: manyIDs}},
		"number ids":            {`{"Meta":{"Logs":[{"ID":7}]}}`, findings{logIDs: []string{"7"}}},
		"odd logs":              {`{"Meta":{"Logs":[null,"x",7,{},{"ID":null},{"ID":{}},{"ID":"a b"},{"ID":"a\r\nb"},{"ID":"` + strings.Repeat("x", 65) + `"}]}}`, findings{}},
		"odd Meta":              {`{"Meta":["Logs"]}`, findings{}},
		"odd Logs":              {`{"Meta":{"Logs":{"ID":"a"}}}`, findings{}},
		"no errors":             {`{"Meta":{"Errors":[]},"Errors":{}}`, findings{}},
		"no errors, spread out": {"{\"Errors\":{ \r\n\t}}", findings{}},
		"more empty errors":     {`{"Meta":{"Errors":""},"Errors":false}`, findings{}},
		"text errors":           {`{"Errors":"Timothy"}`, findings{failed: true}},
		"object errors":         {`{"Meta":{"Errors":{"Type":"message"}}}`, findings{failed: true}},
		"list of texts":         {`{"Errors":["Timothy",null]}`, findings{failed: true}},
		"unsafe types":          {`{"Errors":[{"Type":"Timothy Bixby","Module":"born 1977"},{"Type":7,"Module":"Send"}]}`, findings{failed: true, remote: []string{"/Send"}}},
		"same and many types":   {`{"Errors":[{"Type":"a"},{"Type":"a"},{"Type":"b"},{"Type":"c"},{"Type":"d"},{"Type":"e"}]}`, findings{failed: true, remote: []string{"a", "b", "c", "d"}}},
		"escaped names":         {`{"M\u0065ta":{"\u0045rrors":[{"\u0054ype":"\u0074ransmission"}]}}`, findings{failed: true, transmission: true, remote: []string{"transmission"}}},
		"two Metas":             {`{"Meta":{"Logs":[{"ID":"a"}]},"Meta":{"Errors":[{}]}}`, findings{logIDs: []string{"a"}, failed: true}},
		"Latin-1":               {"{\"Meta\":{\"Logs\":[{\"ID\":\"a\"}],\"x\":\"M\xfcller\"}}", findings{logIDs: []string{"a"}}},
		"byte order mark":       {"\ufeff" + topErrors, findings{failed: true, remote: []string{"message/DataModels"}}},
		"array":                 {`[1]`, findings{}},
		"text":                  {`Invalid request`, findings{broken: true}},
		"HTML":                  {`<html>`, findings{broken: true}},
		"empty":                 {``, findings{broken: true}},
		"half":                  {`{"Meta":{"Logs":[{"ID":"a"}`, findings{logIDs: []string{"a"}, broken: true}},
		"half an error":         {`{"Errors":[{"Type":"message"`, findings{failed: true, remote: []string{"message"}, broken: true}},
		"half an outcome":       {`{"resourceType":"OperationOutcome","issue":[{"severity":"error"},{`, findings{failed: true, broken: true}},
		"trailing":              {`{} {}`, findings{broken: true}},
		"half a list":           {`[1`, findings{broken: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := find([]byte(tc.body))
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(findings{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFind_KeepsNothingOfTheBody(t *testing.T) {
	t.Parallel()
	body := []byte(metaErrors)
	f := find(body)
	clear(body)
	if f.logIDs[0] != "log-1" || f.remote[0] != "message/Subscriptions" {
		t.Errorf("%+v", f)
	}
}

func FuzzFind(f *testing.F) {
	for _, seed := range []string{accepted, metaErrors, topErrors, transmission, operation, operationInfo, html401, ``, `{`, `[]`, `{"Errors":"x"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := find(body)
		if len(got.logIDs) > maxLogIDs || len(got.remote) > maxRemote {
			t.Errorf("unbounded: %+v", got)
		}
		for _, id := range got.logIDs {
			if !isIdentifier(id) {
				t.Errorf("log id %q", id)
			}
		}
		if text := got.remoteText(); strings.ContainsFunc(text, func(r rune) bool {
			return !isIdentifier(string(r)) && !strings.ContainsRune("/, ", r)
		}) {
			t.Errorf("unsafe text %q", text)
		}
		// encoding/json is laxer about UTF-8, as find is, and has a lower limit of depth.
		if json.Valid(body) && got.broken {
			t.Error("called valid JSON broken")
		}
	})
}

// The charset of an answer is read by its label and its mark, and the body stays as it is.
func TestDeliver_AnswersInOtherCharsets(t *testing.T) {
	t.Parallel()
	wide := "\xff\xfe" + strings.Join(strings.Split(accepted, ""), "\x00") + "\x00"
	for _, tt := range []struct{ contentType, body string }{
		{"application/json", "\ufeff" + accepted},
		{"application/json; charset=utf-16", wide},
		{"application/json; charset=utf-16le", wide[2:]},
		{"application/json; charset=iso-8859-1", strings.Replace(accepted, `{"Meta"`, "{\"a\":\"M\xfcller\",\"Meta\"", 1)},
	} {
		far := serve(t, respond(200, tt.body, "Content-Type", tt.contentType))
		a, err := client(t, far.URL, &keyring{}).Deliver(t.Context(), message(outbox.LaneRequest, event))
		if err != nil || a.Flag != "" || len(a.LogIDs) != 1 || string(a.Body) != tt.body {
			t.Errorf("%s: flag %q, %v, %v", tt.contentType, a.Flag, a.LogIDs, err)
		}
	}
}
