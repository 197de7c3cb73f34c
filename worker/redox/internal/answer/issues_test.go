package answer

import "testing"

// Issues in FHIR's words and in Redox's, and which of them may go away by themselves.
func TestFind_Issues(t *testing.T) {
	t.Parallel()
	outcome := func(issues string) string { return `{"resourceType":"OperationOutcome","issue":[` + issues + `]}` }
	for _, tc := range []struct {
		body              string
		failed, transient bool
		remote            string
	}{
		{`{"Issues":[]}`, false, false, ""},
		{`{"Issues":null,"issues":{}}`, false, false, ""},
		{`{"Issues":[{}]}`, true, false, ""},
		{`{"issues":["Timothy"]}`, true, false, ""},
		{`{"issues":"Timothy"}`, true, false, ""},
		{`{"Issues":[{"Type":"timeout","Text":"Timothy","DestinationStatusCode":"504"}]}`, true, true, "timeout/504"},
		{`{"Issues":[{"DestinationStatusCode":404}]}`, true, false, "/404"},
		{`{"Issues":[{"DestinationStatusCode":"Timothy Bixby"}]}`, true, false, ""},
		{`{"Issues":[{"Severity":"information"},{"severity":"WARNING"}]}`, false, false, ""},
		{`{"resourceType":"Patient","Issues":[{"Severity":"Error","Code":"invalid","Type":"x"}]}`, true, false, "invalid"},
		{`{"issue":[{"severity":"error","code":"invalid"}]}`, true, false, "invalid"},
		{`{"issue":[{"code":"invalid"}]}`, false, false, ""}, // FHIR's have a severity
		{`{"issue":[{"severity":"error"}],"resourceType":"Bundle"}`, false, false, ""},
		{`{"issue":[{"severity":"error"}],"resourceType":7}`, false, false, ""},
		{outcome(`{"severity":"error","code":"transient"}`), true, true, "transient"},
		{outcome(`{"severity":"fatal","code":"lock-error"},{"severity":"warning","code":"invalid"}`), true, true, "lock-error"},
		{outcome(`{"severity":"error","code":"timeout"},{"severity":"error","code":"no-store"},{"severity":"error","code":"throttled"}`), true, true, "timeout, no-store, throttled"},
		{outcome(`{"severity":"error","code":"throttled"},{"severity":"error"}`), true, false, "throttled"},
		{outcome(`{"severity":"error","code":"a"},{"severity":"error","code":"b"},{"severity":"error","code":"c"},{"severity":"error","code":"d"},{"severity":"error","code":"transient"}`), true, false, "a, b, c, d"},
		{`{"Errors":[{"Type":"timeout"}],"issue":[{"severity":"error","code":"timeout"}]}`, true, false, "timeout"},
		{`{"resourceType":"MessageHeader","response":{"code":"fatal-error"}}`, true, false, "fatal-error"},
		{`{"response":{"code":"fatal-error"}}`, false, false, ""},
		{`{"response":"fatal-error","resourceType":"MessageHeader"}`, false, false, ""},
		{`{"resourceType":"Bundle","entry":[{"resource":{"response":{"code":"transient-error","x":{}},"resourceType":"MessageHeader"}}]}`, true, false, "transient-error"},
		{`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MessageHeader","response":{"code":"ok"}}},{"resource":{"response":{"code":"fatal-error"},"resourceType":"Task"}}]}`, false, false, ""},
		{`{"resourceType":"Bundle","entry":[{"resource":` + outcome(`{"severity":"error","code":"throttled"}`) + `}]}`, true, true, "throttled"},
	} {
		f := Find([]byte(tc.body))
		if f.Failed != tc.failed || f.Transient != tc.transient || f.RemoteText() != tc.remote || f.Broken {
			t.Errorf("%s: %+v", tc.body, f)
		}
	}
}

func TestFind_HowItBegins(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Findings{
		`{"Meta":{}}`: {Meta: true}, `{"Meta":{"Errors":[]}}`: {Meta: true}, `{"Meta":{"Logs`: {Meta: true}, `{"Meta":[]}`: {}, `{"x":{"Meta":{}}}`: {}, `[{"Meta":{}}]`: {},
		"<html>": {Markup: true, HTML: true}, "\ufeff \r\n<!DocType HTML>": {Markup: true, HTML: true}, "<!-- x --><html>": {Markup: true}, "<Patient/>": {Markup: true},
		"<htm": {Markup: true}, "<": {Markup: true}, "": {}, "OK <html>": {},
	} {
		passing, _, err := FindPassing(chunks(body), int64(len(body)))
		if err != nil {
			t.Error(err)
		}
		for how, got := range map[string]Findings{"kept": Find([]byte(body)), "passing": passing} {
			if got.Meta != want.Meta || got.Markup != want.Markup || got.HTML != want.HTML {
				t.Errorf("%q, %s: %+v", body, how, got)
			}
		}
	}
}
