package redox

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// verdict is what the worker would read out of a result.
type verdict struct {
	result     string // delivered, rejected, retry, unknown
	doubtful   bool
	trouble    bool // it counts for the host whatever the status is
	pauses     string
	retryAfter time.Duration
	flag       string // part of Answer.Flag
	safe       string // part of SafeError
}

const (
	metaErrors    = `{"Meta":{"DataModel":"A","Errors":[{"ID":5,"Text":"Timothy 1977-01-06","Type":"message","Module":"Subscriptions"}],"Logs":[{"ID":"log-1"}]}}`
	topErrors     = `{"Errors":[{"ID":531829,"Text":"Timothy","Type":"message","Module":"DataModels"}]}`
	transmission  = `{"Meta":{"Errors":[{"ID":84607512,"Text":"Timothy","Type":"transmission","Module":"Send"}]},"Patient":{}}`
	operation     = `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"processing","diagnostics":"Timothy"}]}`
	operationInfo = `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"processing"}]}`
	html401       = `Invalid request`
)

// classification is one row of the table: what each lane makes of an answer.
type classification struct {
	status        int
	body          string
	headers       []string
	send, request verdict
}

// Building blocks of the table.
var (
	delivered = verdict{result: "delivered"}
	rejected  = verdict{result: "rejected"}
	retry     = verdict{result: "retry"}
	doubt     = verdict{result: "retry", doubtful: true}
	unknown   = verdict{result: "unknown"}
	foreign   = verdict{result: "unknown", trouble: true, safe: "foreign: status"} // a SEND that somebody else took
	notRedox  = verdict{result: "retry", trouble: true, safe: "foreign: status"}   // the same of a REQUEST, or a page
)

func flagged(flag string) verdict { return verdict{result: "delivered", flag: flag} }

func safe(v verdict, text string) verdict { v.safe = text; return v }

func waits(v verdict, d time.Duration) verdict { v.retryAfter = d; return v }

func group(after time.Duration) verdict {
	return verdict{result: "retry", pauses: "group:default", retryAfter: after, safe: "throttled: status 429"}
}

func key(text string) verdict { return verdict{result: "retry", pauses: "key:main", safe: text} }

// classifications is the classification table of the contract.
var classifications = map[string]classification{
	"200":                   {200, accepted, nil, delivered, delivered},
	"201":                   {201, accepted, nil, delivered, delivered},
	"202":                   {202, `{}`, nil, safe(foreign, "it has no Meta; the outcome is unknown"), notRedox},
	"299":                   {299, `{"Meta":{"Errors":[]}}`, nil, delivered, delivered},
	"204":                   {204, ``, nil, safe(foreign, "it has no body"), notRedox},
	"200 empty":             {200, ``, nil, foreign, safe(notRedox, "redox cannot have sent this answer: it has no body")},
	"200 text":              {200, `OK`, nil, safe(foreign, "it is not JSON"), notRedox},
	"200 list":              {200, `[{"Meta":{}}]`, nil, safe(foreign, "it has no Meta"), notRedox},
	"200 Meta is no object": {200, `{"Meta":[]}`, nil, foreign, notRedox},
	"200 page":              {200, ` <!DOCTYPE html><p>Sign in`, []string{"Content-Type", "text/html"}, safe(foreign, "it is a page of HTML"), notRedox},
	"200 half":              {200, accepted[:90], nil, flagged("not JSON"), flagged("not JSON")},
	"200 Meta.Errors":       {200, metaErrors, nil, safe(rejected, "refused: status 200: redox answered with errors (message/Subscriptions)"), flagged("answered with errors (message/Subscriptions)")},
	"200 Errors":            {200, topErrors, nil, safe(rejected, "(message/DataModels)"), flagged("(message/DataModels)")},
	"200 transmission":      {200, transmission, nil, safe(rejected, "(transmission/Send)"), flagged("(transmission/Send)")},
	"200 Errors null":       {200, `{"Meta":{"Errors":null},"Errors":null}`, nil, delivered, delivered},
	"200 outcome":           {200, operation, nil, safe(rejected, "(processing)"), flagged("(processing)")},
	"200 outcome, warning":  {200, operationInfo, nil, foreign, notRedox},
	"200 issues":            {200, `{"issues":[{"severity":"error","code":"invalid","diagnostics":"Timothy"}]}`, nil, safe(rejected, "(invalid)"), flagged("answered with errors (invalid)")},
	"200 Issues":            {200, `{"Meta":{},"Issues":[{"Text":"Timothy","DestinationStatusCode":503}]}`, nil, safe(rejected, "(/503)"), flagged("(/503)")},
	"200 Meta.Errors, half": {200, metaErrors[:len(metaErrors)-9], nil, safe(rejected, "(message/Subscriptions)"), flagged("(message/Subscriptions)")},
	"301":                   {301, ``, []string{"Location", "/other"}, safe(rejected, "redirect"), safe(rejected, "redirect")},
	"302":                   {302, ``, []string{"Location", "https://evil.example/"}, rejected, rejected},
	"307":                   {307, ``, []string{"Location", "/other"}, rejected, rejected},
	"308":                   {308, ``, []string{"Location", "/other"}, rejected, rejected},
	"304":                   {304, ``, nil, rejected, rejected},
	"302 page":              {302, `<html>moved`, nil, notRedox, notRedox},
	"403 page":              {403, "\n<!doctype HTML>", []string{"Retry-After", "7"}, waits(notRedox, 7*time.Second), waits(notRedox, 7*time.Second)},
	"403 comment":           {403, `<!-- waf --><html>`, []string{"Content-Type", "text/html; charset=utf-8"}, notRedox, notRedox},
	"404 page":              {404, `<html>`, nil, notRedox, notRedox},
	"405 page":              {405, `<html>`, nil, notRedox, notRedox},
	"404 text":              {404, `Cannot`, []string{"Content-Type", "text/html"}, rejected, rejected},
	"404 XML":               {404, `<OperationOutcome/>`, []string{"Content-Type", "application/fhir+xml"}, rejected, rejected},
	"407 page":              {407, `<html>`, nil, notRedox, notRedox},
	"410 page":              {410, `<html>`, nil, rejected, rejected},
	"421":                   {421, ``, nil, verdict{result: "retry", trouble: true}, verdict{result: "retry", trouble: true}},
	"423 lock":              {423, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"lock-error"}]}`, nil, safe(retry, "unavailable: status 423: redox could not take it now (lock-error)"), retry},
	"409 lock and more":     {409, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"lock-error"},{"severity":"error","code":"invalid"}]}`, nil, rejected, rejected},
	"425":                   {425, ``, nil, retry, retry},
	"400":                   {400, topErrors, nil, safe(rejected, "refused: status 400: redox refused it (message/DataModels)"), safe(rejected, "(message/DataModels)")},
	"400 transmission":      {400, transmission, nil, safe(rejected, "(transmission/Send)"), flagged("the destination failed (transmission/Send)")},
	"400 text":              {400, `nope`, nil, safe(rejected, "refused: status 400: redox refused it"), rejected},
	"401":                   {401, html401, []string{"Content-Type", "text/html"}, key("unauthorized: status 401"), key("")},
	"402":                   {402, ``, nil, rejected, rejected},
	"403":                   {403, ``, []string{"Retry-After", "7"}, rejected, rejected},
	"404":                   {404, ``, nil, rejected, rejected},
	"408":                   {408, ``, nil, safe(retry, "unavailable: status 408"), retry},
	"409":                   {409, ``, nil, rejected, rejected},
	"413":                   {413, ``, nil, rejected, rejected},
	"415":                   {415, ``, nil, rejected, rejected},
	"422":                   {422, ``, nil, rejected, rejected},
	"429":                   {429, ``, nil, group(0), group(0)},
	"429 seconds":           {429, ``, []string{"Retry-After", "7"}, group(7 * time.Second), group(7 * time.Second)},
	"429 nonsense":          {429, ``, []string{"Retry-After", "soon"}, group(0), group(0)},
	"500":                   {500, ``, nil, safe(doubt, "unavailable: status 500"), retry},
	"501":                   {501, ``, nil, safe(rejected, "refused: status 501"), rejected},
	"505":                   {505, ``, nil, rejected, rejected},
	"511":                   {511, `<html>`, nil, retry, retry},
	"502":                   {502, ``, nil, safe(retry, "unavailable: status 502"), retry},
	"503":                   {503, ``, nil, retry, retry},
	"503 seconds":           {503, ``, []string{"Retry-After", "120"}, waits(retry, 2*time.Minute), waits(retry, 2*time.Minute)},
	"504":                   {504, ``, nil, verdict{result: "unknown", safe: "no-answer: status 504"}, safe(retry, "no-answer: status 504")},
	"520":                   {520, ``, nil, safe(unknown, "no-answer: status 520: no answer came from behind the gateway; the outcome is unknown"), retry},
	"521":                   {521, ``, nil, retry, retry},
	"524":                   {524, ``, nil, unknown, retry},
	"530":                   {530, ``, nil, retry, retry},
	"599":                   {599, ``, nil, unknown, retry},
	"700":                   {700, ``, nil, doubt, retry},
}

// TestClassify goes through the table, each row over HTTP.
func TestClassify(t *testing.T) {
	t.Parallel()
	for name, tc := range classifications {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, respond(tc.status, tc.body, tc.headers...))
			c := client(t, r.URL, &keyring{})
			for lane, want := range map[contract.Lane]verdict{
				contract.LaneSend: tc.send, contract.LaneOrdered: tc.send, contract.LaneRequest: tc.request,
			} {
				a, err := c.Deliver(t.Context(), message(lane, event))
				checkVerdict(t, string(lane), want, a, err)
				if a.Status != tc.status || string(a.Body) != tc.body {
					t.Errorf("%s: the answer is not Redox's: %d %q", lane, a.Status, a.Body)
				}
			}
			perMessage := 1
			if tc.status == 401 {
				perMessage = 2
			}
			if n := len(r.seen()); n != 3*perMessage {
				t.Errorf("%d requests for 3 messages", n)
			}
		})
	}
}

func checkVerdict(t *testing.T, lane string, want verdict, a outbox.Answer, err error) {
	t.Helper()
	got := verdict{result: "delivered", flag: a.Flag}
	if err != nil {
		e := failure(t, err)
		got.result = "retry"
		switch {
		case e.Permanent():
			got.result = "rejected"
		case e.UnknownOutcome():
			got.result = "unknown"
		}
		got.trouble = e.Trouble()
		got.doubtful, got.pauses, got.retryAfter, got.safe = e.DoubtfulOutcome(), e.Pauses(), e.RetryAfter(), e.SafeError()
		if e.Attempted() == (e.Class() == ClassUnauthorized) || e.Poison() || e.Status() != a.Status || a.Flag != "" {
			t.Errorf("%s: attempted %v, poison %v, status %d, flag %q", lane, e.Attempted(), e.Poison(), e.Status(), a.Flag)
		}
		if e.SourceRefused() != (a.Status == 401 || a.Status == 403 && !e.Trouble()) {
			t.Errorf("%s: status %d refuses the source: %v", lane, a.Status, e.SourceRefused())
		}
	}
	for _, text := range []string{got.flag, got.safe} {
		if strings.Contains(text, "Timothy") || strings.ContainsAny(text, "\r\n") {
			t.Errorf("%s: unsafe text %q", lane, text)
		}
	}
	if (want.flag == "") != (got.flag == "") || !strings.Contains(got.flag, want.flag) || !strings.Contains(got.safe, want.safe) {
		t.Errorf("%s: flag %q, safe text %q; want %q, %q", lane, got.flag, got.safe, want.flag, want.safe)
	}
	got.flag, got.safe = want.flag, want.safe
	if got != want {
		t.Errorf("%s: %+v, want %+v", lane, got, want)
	}
}

func TestDeliver_TraceIDOfTheAnswer(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(500, ``, "Redox-Trace-Id", "trace-7"))
	_, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, event))
	if got := failure(t, err).TraceID(); got != "trace-7" {
		t.Errorf("trace id %q", got)
	}
	r = serve(t, respond(500, ``, "Redox-Trace-Id", "Timothy Bixby, 1977"))
	_, err = client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, event))
	if got := failure(t, err).TraceID(); got != "" {
		t.Errorf("trace id %q", got)
	}
}

// What an answer is that Redox cannot have sent depends on the configuration.
func TestConfig_StrictAnswers(t *testing.T) {
	t.Parallel()
	page, empty := respond(200, "<html>", "Content-Type", "text/html"), respond(204, "")
	for _, tc := range []struct {
		strict      StrictAnswers
		path        string
		page, empty bool // are taken
	}{
		{"", "", false, false}, {StrictAuto, "/endpoint", false, false}, {StrictAuto, "/engine", false, true},
		{StrictOn, "/engine", false, false}, {StrictOff, "", true, true},
	} {
		for _, status := range []int{302, 403, 404, 405, 407} {
			far := serve(t, respond(status, "<html>", "Content-Type", "text/html"))
			c := client(t, far.URL, &keyring{}, func(c *Config, _ *Source) { c.StrictAnswers, c.EndpointPath = tc.strict, tc.path })
			_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
			if e := failure(t, err); e.Permanent() != (tc.strict == StrictOff) || e.Trouble() == (tc.strict == StrictOff) {
				t.Errorf("%q with %q, %d: %v", tc.strict, tc.path, status, err)
			}
		}
		for _, answer := range []struct {
			what  string
			write func(http.ResponseWriter, arrival)
			taken bool
		}{{"page", page, tc.page}, {"empty", empty, tc.empty}} {
			far := serve(t, answer.write)
			c := client(t, far.URL, &keyring{}, func(c *Config, _ *Source) { c.StrictAnswers, c.EndpointPath = tc.strict, tc.path })
			for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
				a, err := c.Deliver(t.Context(), message(lane, event))
				if (err == nil) != answer.taken || answer.taken && a.Flag == "" {
					t.Errorf("%q with %q, %s as %s: %v, flag %q", tc.strict, tc.path, answer.what, lane, err, a.Flag)
				}
			}
		}
	}
}
