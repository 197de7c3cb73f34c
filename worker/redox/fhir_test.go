package redox

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

const (
	patient   = `{"resourceType":"Patient","id":"p-1"}`
	warning   = `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"informational"},{"severity":"information","code":"informational"}]}`
	writeback = `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader","source":{"endpoint":"urn:uuid:` +
		sourceID + `"}}},{"resource":{"resourceType":"Patient"}}]}`
)

func fhir(lane contract.Lane, method, path, body string) outbox.Message {
	return outbox.Message{ID: "m-1", Source: "clinic-a", Lane: lane, Kind: outbox.KindFHIR, Method: method, Path: path, Body: []byte(body)}
}

func TestFHIR_Requests(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient, "Content-Type", "application/fhir+json"))
	c := client(t, r.URL+"/gw", &keyring{})
	for name, tc := range map[string]struct {
		method, path, body, contentType, accept string
		want                                    arrival
		wantType, wantAccept                    string
	}{
		"read": {
			method: "GET", path: "/redox-fhir-sandbox/Development/Patient/p-1",
			want:       arrival{method: "GET", path: "/gw/fhir/R4/redox-fhir-sandbox/Development/Patient/p-1"},
			wantAccept: "application/fhir+json",
		},
		"default is a read": {
			path: "slug/Development/Patient/p-1", want: arrival{method: "GET", path: "/gw/fhir/R4/slug/Development/Patient/p-1"},
			wantAccept: "application/fhir+json",
		},
		"search": {
			method: "POST", path: "slug/Development/Patient/_search", body: "family=B%C3%BCxby&birthdate=1977-01-06",
			want:     arrival{method: "POST", path: "/gw/fhir/R4/slug/Development/Patient/_search", body: "family=B%C3%BCxby&birthdate=1977-01-06"},
			wantType: "application/x-www-form-urlencoded", wantAccept: "application/fhir+json",
		},
		"search, by default a POST": {
			path: "slug/Development/Patient/_search", body: "family=Bixby",
			want:     arrival{method: "POST", path: "/gw/fhir/R4/slug/Development/Patient/_search", body: "family=Bixby"},
			wantType: "application/x-www-form-urlencoded", wantAccept: "application/fhir+json",
		},
		"writeback": {
			method: "POST", path: "slug/Development/Patient/$patient-update", body: writeback,
			want:     arrival{method: "POST", path: "/gw/fhir/R4/slug/Development/Patient/$patient-update", body: writeback},
			wantType: "application/fhir+json", wantAccept: "application/fhir+json",
		},
		"query string and escapes as they are": {
			method: "GET", path: "slug/Development/Observation?code=http://loinc.org%7C1234-5&_count=10&q=%2e%2e%2f",
			want:       arrival{method: "GET", path: "/gw/fhir/R4/slug/Development/Observation?code=http://loinc.org%7C1234-5&_count=10&q=%2e%2e%2f"},
			wantAccept: "application/fhir+json",
		},
		"own media types": {
			method: "PUT", path: "slug/Development/Binary/b%201", body: "not JSON", contentType: "text/plain", accept: "application/pdf",
			want:     arrival{method: "PUT", path: "/gw/fhir/R4/slug/Development/Binary/b%201", body: "not JSON"},
			wantType: "text/plain", wantAccept: "application/pdf",
		},
		"a search in JSON says so": {
			method: "POST", path: "slug/Development/Patient/_search", body: "{}", contentType: "application/json",
			want:     arrival{method: "POST", path: "/gw/fhir/R4/slug/Development/Patient/_search", body: "{}"},
			wantType: "application/json", wantAccept: "application/fhir+json",
		},
	} {
		m := fhir(contract.LaneRequest, tc.method, tc.path, tc.body)
		m.ContentType, m.Accept = tc.contentType, tc.accept
		before := len(r.seen())
		a, err := c.Deliver(t.Context(), m)
		if err != nil || string(a.Body) != patient || a.Flag != "" {
			t.Errorf("%s: %v %+v", name, err, a)
			continue
		}
		got := r.seen()[before]
		if got.method != tc.want.method || got.path != tc.want.path || got.body != tc.want.body {
			t.Errorf("%s: %s %s %s", name, got.method, got.path, got.body)
		}
		h := got.header
		if h.Get("Content-Type") != tc.wantType || h.Get("Accept") != tc.wantAccept || h.Get("Redox-Source-Id") != sourceID ||
			h.Get("Authorization") != "Bearer token-1" {
			t.Errorf("%s: %v", name, h)
		}
	}
}

// The usual media types are those of the interaction.
func TestFHIR_MediaTypes(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient, "Content-Type", "application/fhir+json"))
	c := client(t, r.URL, &keyring{})
	const form, fhirJSON, patch = "application/x-www-form-urlencoded", "application/fhir+json", "application/json-patch+json"
	for _, tc := range []struct{ method, path, body, want string }{
		{"POST", "Patient/_search", "family=B", form},
		{"POST", "Patient/_search?given=K", "", form},
		{"POST", "Patient/_search", "", form},
		{"GET", "Patient?family=G", "", ""},
		{"GET", "Patient/p-1", "", ""},
		{"DELETE", "Patient/p-1", "", ""},
		{"POST", "Patient/$x", "", ""},
		{"PATCH", "Patient/p-1", " [{}]", patch},
		{"PATCH", "Patient/p-1", `{"resourceType":"Parameters"}`, fhirJSON},
		{"POST", "Patient/$match", `{"resourceType":"Parameters"}`, fhirJSON},
		{"POST", "", `{"resourceType":"Bundle","type":"batch"}`, fhirJSON},
	} {
		before := len(r.seen())
		if a, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, tc.method, "s/Development/"+tc.path, tc.body)); err != nil || a.Flag != "" {
			t.Errorf("%s %s: %v %s", tc.method, tc.path, err, a.Flag)
			continue
		}
		if got := r.seen()[before]; got.method != tc.method || got.body != tc.body || got.header.Get("Content-Type") != tc.want || got.header.Get("Accept") != fhirJSON {
			t.Errorf("%s %s: %s %v", tc.method, tc.path, got.body, got.header)
		}
	}
}

// headers is a Bundle with a MessageHeader from each of the sources.
func headers(ids ...string) string {
	var entries []string
	for _, id := range ids {
		entries = append(entries, `{"resource":{"resourceType":"MessageHeader","source":{"endpoint":"`+id+`"}}}`)
	}
	return `{"resourceType":"Bundle","entry":[` + strings.Join(entries, ",") + `]}`
}

func TestFHIR_Guards(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	bodies := func(s string) string { return strings.Replace(writeback, sourceID, s, 1) }
	for name, tc := range map[string]struct {
		method, path, body, contentType string
		poison                          bool
	}{
		"another environment":                {path: "slug/Production/Patient/p-1"},
		"another case":                       {path: "slug/development/Patient/p-1"},
		"an escape":                          {path: "slug/%50roduction/Patient/p-1"},
		"a path parameter":                   {path: "slug/Development;x=1/Patient/p-1"},
		"no environment":                     {path: "metadata"},
		"no path":                            {path: ""},
		"no slug":                            {path: "/Development"},
		"another source":                     {method: "POST", path: "slug/Development/Patient/$write", body: bodies(otherID)},
		"another source, without urn":        {method: "POST", path: "slug/Development/Patient/$write", body: strings.Replace(writeback, "urn:uuid:"+sourceID, otherID, 1)},
		"another source, in upper case":      {method: "POST", path: "slug/Development/Patient/$write", body: strings.Replace(writeback, "urn:uuid:"+sourceID, "URN:UUID:"+otherID, 1)},
		"another source, in a first header":  {method: "POST", path: "slug/Development/Patient/$write", body: headers(otherID, sourceID)},
		"another source, in a second header": {method: "POST", path: "slug/Development/Patient/$write", body: headers(sourceID, otherID)},
		"another source, endpoint twice":     {method: "POST", path: "slug/Development/Patient/$write", body: strings.Replace(writeback, `"endpoint":`, `"endpoint":"`+otherID+`","endpoint":`, 1)},
		"another source, source twice":       {method: "POST", path: "slug/Development/Patient/$write", body: strings.Replace(writeback, `"source":`, `"source":{"endpoint":"`+otherID+`"},"source":`, 1)},
		"another source, called text":        {method: "POST", path: "slug/Development/Patient/$write", body: bodies(otherID), contentType: "text/plain"},
		"another source, called JSON":        {method: "POST", path: "slug/Development/Patient/$write", body: "\xef\xbb\xbf" + bodies(otherID), contentType: "text/json"},
		"another source, called old JSON":    {method: "POST", path: "slug/Development/Patient/$write", body: bodies(otherID), contentType: "application/json+fhir"},
		"another source, type twice":         {method: "POST", path: "slug/Development/Patient/$write", body: bodies(otherID + `"},"resourceType":"X","x":{"y":"`)},
		"leaves its base":                    {path: "slug/Development/../../../../endpoint", poison: true},
		"leaves it encoded":                  {path: "slug/Development/%2e%2e/x", poison: true},
		"names a host":                       {path: "//evil.example/Development/x", poison: true},
		"a scheme":                           {path: "https://evil.example/Development", poison: true},
		"a fragment":                         {path: "slug/Development/x#y", poison: true},
		"a bad escape":                       {path: "slug/Development/%zz", poison: true},
		"not JSON":                           {method: "POST", path: "slug/Development/Patient", body: `{"a":`, poison: true},
		"two texts":                          {method: "POST", path: "slug/Development/Patient", body: `{} {}`, poison: true},
		"not JSON, as it says":               {method: "POST", path: "slug/Development/Patient", body: `x`, contentType: "application/json; charset=utf-8", poison: true},
		"GET with a body":                    {method: "GET", path: "slug/Development/Patient", body: `{}`, poison: true},
		"another method":                     {method: "TRACE", path: "slug/Development/Patient", poison: true},
		"too large":                          {method: "POST", path: "slug/Development/Patient", body: `{"a":"` + strings.Repeat("x", 800) + `"}`, poison: true},
		"bad header":                         {method: "POST", path: "slug/Development/Patient", body: `{}`, contentType: "a\r\nb", poison: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.MaxBody = 700 })
			m := fhir(contract.LaneSend, tc.method, tc.path, tc.body)
			m.ContentType = tc.contentType
			_, err := c.Deliver(t.Context(), m)
			e := failure(t, err)
			if e.Attempted() || e.Poison() != tc.poison || e.Permanent() == tc.poison || e.Pauses() != "" {
				t.Errorf("%+v", e)
			}
			for _, part := range strings.FieldsFunc(tc.path, func(r rune) bool { return r == '/' }) {
				if len(part) > 6 && part != "Development" && part != "Patient" && strings.Contains(err.Error(), part) {
					t.Errorf("%q is in %v", part, err)
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := len(r.seen()); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

func TestFHIR_SendersThatPass(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	for name, tc := range map[string]struct {
		body string
		set  setting
	}{
		"its own":                {body: writeback},
		"its own, upper case":    {body: strings.Replace(writeback, sourceID, strings.ToUpper(sourceID), 1)},
		"no Source ID at all":    {body: strings.Replace(writeback, "urn:uuid:"+sourceID, "https://ehr.example", 1)},
		"source before the type": {body: `{"entry":[{"resource":{"source":{"endpoint":"` + sourceID + `"},"resourceType":"MessageHeader"}}]}`},
		"not in a MessageHeader": {body: `{"entry":[{"resource":{"resourceType":"X","source":{"endpoint":"` + otherID + `"}}}]}`},
		"allowed to":             {body: strings.Replace(writeback, sourceID, otherID, 1), set: func(_ *Config, s *Source) { s.AllowOtherSource = true }},
	} {
		set := tc.set
		if set == nil {
			set = func(*Config, *Source) {}
		}
		if _, err := client(t, r.URL, &keyring{}, set).Deliver(t.Context(), fhir(contract.LaneSend, "POST", "s/Development/Patient/$write", tc.body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFHIR_Answers goes through the classification table for the shapes of FHIR.
func TestFHIR_Answers(t *testing.T) {
	t.Parallel()
	bundle := func(entry string) string {
		return `{"resourceType":"Bundle","type":"searchset","entry":[{"resource":` + patient + `},` + entry + `]}`
	}
	for name, tc := range map[string]struct {
		status        int
		body          string
		send, request string // class of the error, "" for delivered
		flagged       bool   // the REQUEST's answer
		remote        string
	}{
		"resource":           {status: 200, body: patient},
		"warnings":           {status: 200, body: warning},
		"created, no body":   {status: 201},
		"errors in 2xx":      {status: 200, body: operation, send: "refused", flagged: true, remote: "processing"},
		"issue in a bundle":  {status: 200, body: bundle(`{"resource":` + operation + `,"search":{"mode":"outcome"}}`), send: "refused", flagged: true, remote: "processing"},
		"outcome of a write": {status: 200, body: bundle(`{"response":{"status":"422 Unprocessable","outcome":` + operation + `}}`), send: "refused", flagged: true, remote: "processing"},
		"status of a write":  {status: 200, body: bundle(`{"response":{"status":"409 Conflict"}}`), send: "refused", flagged: true},
		"written":            {status: 200, body: bundle(`{"response":{"status":"201 Created","location":"Patient/4","outcome":` + warning + `}}`)},
		"warning in bundle":  {status: 200, body: bundle(`{"resource":` + warning + `}`)},
		"refused":            {status: 422, body: operation, send: "refused", request: "refused", remote: "processing"},
		"not found":          {status: 404, body: operation, send: "refused", request: "refused", remote: "processing"},
		"gone":               {status: 410, body: operation, send: "refused", request: "refused", remote: "processing"},
		"throttled":          {status: 429, body: "", send: "throttled", request: "throttled"},
		"unavailable":        {status: 503, body: operation, send: "unavailable", request: "unavailable", remote: "processing"},
		"no answer":          {status: 504, body: operation, send: "no-answer", request: "no-answer", remote: "processing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, respond(tc.status, tc.body, "Content-Type", "application/fhir+json"))
			c := client(t, r.URL, &keyring{})
			for lane, want := range map[contract.Lane]string{contract.LaneSend: tc.send, contract.LaneRequest: tc.request} {
				a, err := c.Deliver(t.Context(), fhir(lane, "POST", "slug/Development/Patient/$write", writeback))
				if string(a.Body) != tc.body || a.Status != tc.status {
					t.Errorf("%s: %d %s", lane, a.Status, a.Body)
				}
				if want == "" {
					flagged := tc.flagged && lane == contract.LaneRequest
					if err != nil || (a.Flag != "") != flagged || !strings.Contains(a.Flag, tc.remote) {
						t.Errorf("%s: %v, flag %q", lane, err, a.Flag)
					}
					continue
				}
				e := failure(t, err)
				if string(e.Class()) != want || !strings.Contains(e.SafeError(), tc.remote) || strings.Contains(e.Error(), "Timothy") {
					t.Errorf("%s: %v", lane, e)
				}
				if unknown := tc.status == 504 && lane == contract.LaneSend; e.UnknownOutcome() != unknown {
					t.Errorf("%s: unknown %t", lane, e.UnknownOutcome())
				}
			}
		})
	}
}

func TestFHIR_WhatIsNotJSONIsFlaggedOnlyWhereJSONWasAsked(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, "%PDF", "Content-Type", "application/pdf"))
	c := client(t, r.URL, &keyring{})
	m := fhir(contract.LaneRequest, "GET", "slug/Development/Binary/1", "")
	for accept, want := range map[string]string{"": "the answer is not JSON", "application/fhir+json": "the answer is not JSON", "application/pdf": ""} {
		m.Accept = accept
		if a, err := c.Deliver(t.Context(), m); err != nil || a.Flag != want {
			t.Errorf("accept %q: %v, flag %q", accept, err, a.Flag)
		}
	}
}

func TestFHIR_401IsResentWithTheSameBody(t *testing.T) {
	t.Parallel()
	r := serve(t, onlyToken("token-2"))
	if _, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), fhir(contract.LaneSend, "POST", "slug/Development/Patient/$write", writeback)); err != nil {
		t.Fatal(err)
	}
	seen := r.seen()
	if len(seen) != 2 || seen[0].body != writeback || seen[1].body != writeback || seen[0].path != seen[1].path {
		t.Errorf("%+v", seen)
	}
}

func TestPlatform_Requests(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, `{"payload":{}}`, "Content-Type", "application/json"))
	c := client(t, r.URL, &keyring{}, keyType(KeyUser))
	m := fhir(contract.LaneRequest, "", "v1/organizations/4/logs/l-1?dataMode=backfill", "")
	m.Kind = outbox.KindPlatform
	if a, err := c.Deliver(t.Context(), m); err != nil || a.Flag != "" {
		t.Fatal(err, a.Flag)
	}
	m.Path, m.Body = "/v1/organizations/4/logs", []byte(`{"status":"failed"}`)
	if _, err := c.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	seen := r.seen()
	if seen[0].method != "GET" || seen[0].path != "/platform/v1/organizations/4/logs/l-1?dataMode=backfill" ||
		seen[1].method != "POST" || seen[1].path != "/platform/v1/organizations/4/logs" || seen[1].body != `{"status":"failed"}` {
		t.Errorf("%+v", seen)
	}
	want := http.Header{"Authorization": {"Bearer token-1"}, "Accept": {"application/json"}, "User-Agent": {"redoxworker"}}
	if diff := cmp.Diff(want, seen[0].header); diff != "" {
		t.Error(diff)
	}
	if got := seen[1].header.Get("Content-Type"); got != "application/json" {
		t.Error(got)
	}
	for _, path := range []string{"../v2/auth/token", "v1/%2e%2e/x", "//x"} {
		m.Path = path
		if _, err := c.Deliver(t.Context(), m); !failure(t, err).Poison() {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// FuzzBelow: whatever passes stays below its base, at its host.
func FuzzBelow(f *testing.F) {
	for _, s := range []string{"slug/Development/Patient/1", "../x", "%2e%2e/x", "//h/x", "a;b/..;c", "x?y=/../", "a%20b", "x:y", "?", "/a|b"} {
		f.Add(s)
	}
	base, err := join("BaseURL", "https://api.example/gw", "FHIRPath", defaultFHIR)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		u, broken := below(base, ref)
		if broken != nil {
			if !broken.Poison() {
				t.Errorf("%+v", broken)
			}
			return
		}
		if u.Host != base.Host || u.Scheme != "https" || u.User != nil || !strings.HasPrefix(u.EscapedPath()+"/", "/gw/fhir/R4/") {
			t.Errorf("%q became %s", ref, u)
		}
	})
}
