package redox

import (
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Whatever is asked of FHIR and of the platform, a success that is not JSON says so: a proxy
// that signs people in, and not Redox, may have answered. An empty body is nothing unusual
// where nothing is asked for.
func TestDeliver_SuccessThatIsNotJSON(t *testing.T) {
	t.Parallel()
	const xml = `<OperationOutcome xmlns="http://hl7.org/fhir"><issue><severity value="error"/></issue></OperationOutcome>`
	answers := []struct{ body, contentType, flag string }{
		{"<html><title>Sign in</title></html>", "text/html", "foreign"},
		{`{"resourceType":"OperationOutc`, "application/fhir+json", "the answer is not JSON"},
		{xml, "application/fhir+xml", "the answer is not JSON"},
		{"OK", "text/plain", "the answer is not JSON"},
		{`{"a":1}{"a":2}`, "application/json", "the answer is not JSON"},
		{`{"resourceType":"Patient"}`, "application/fhir+json", ""},
		{"\ufeff{}", "application/json", ""},
	}
	asked := []struct {
		kind               outbox.Kind
		method, path, body string
		bare               bool // an empty answer is not flagged
	}{
		{outbox.KindFHIR, "GET", "h/Development/Patient/1", "", false},
		{outbox.KindFHIR, "POST", "h/Development/Patient/_search", "family=x", false},
		{outbox.KindFHIR, "POST", "h/Development/Patient", "{}", true},
		{outbox.KindFHIR, "POST", "h/Development/Patient/$patient-update", "{}", true},
		{outbox.KindFHIR, "PUT", "h/Development/Patient/1", "{}", true},
		{outbox.KindFHIR, "PATCH", "h/Development/Patient/1", "[]", true},
		{outbox.KindFHIR, "DELETE", "h/Development/Patient/1", "", true},
		{outbox.KindPlatform, "GET", "v1/x", "", false},
		{outbox.KindPlatform, "POST", "v1/x", "{}", true},
		{outbox.KindPlatform, "PUT", "v1/x", "{}", true},
		{outbox.KindPlatform, "DELETE", "v1/x", "", true},
	}
	for _, status := range []int{200, 201, 202} {
		for _, a := range append(answers, struct{ body, contentType, flag string }{"", "", "the answer has no body"}) {
			far := serve(t, respond(status, a.body, "Content-Type", a.contentType))
			fhir := client(t, far.URL, &keyring{})
			platform := client(t, far.URL, &keyring{}, func(_ *Config, s *Source) { s.KeyType = KeyUser })
			for _, q := range asked {
				c := fhir
				if q.kind == outbox.KindPlatform {
					c = platform
				}
				for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
					got, err := c.Deliver(t.Context(), outbox.Message{ID: "m-1", Source: "clinic-a", Lane: lane, Kind: q.kind, Method: q.method, Path: q.path, Body: []byte(q.body)})
					want := a.flag
					if a.body == "" && (q.bare || status != 200) {
						want = ""
					}
					if want == "foreign" { // not an answer of Redox
						if e := failure(t, err); e.Class() != ClassForeign || !e.Trouble() || e.Permanent() || e.UnknownOutcome() != (lane == contract.LaneSend) {
							t.Errorf("%s %s as %s, %d: %v", q.method, q.path, lane, status, err)
						}
						continue
					}
					if err != nil || got.Flag != want || string(got.Body) != a.body {
						t.Errorf("%s %s as %s, %d %q: flag %q, %v; want %q", q.method, q.path, lane, status, a.body, got.Flag, err, want)
					}
				}
			}
		}
	}
}

// lax takes every 2xx.
func lax(c *Config, _ *Source) { c.StrictAnswers = StrictOff }

// What a message asks for by Accept is no reason for a flag; a page of HTML is nothing
// of Redox, unless that is what it asks for.
func TestDeliver_SuccessInAnotherFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ accept, contentType, flag string }{
		{"application/fhir+xml", "application/fhir+xml", ""},
		{"application/fhir+xml", "", ""},
		{"application/fhir+xml", "text/html; charset=utf-8", "foreign"},
		{"text/html", "text/html", ""},
		{"*/*", "text/html", ""},
		{"application/pdf, Text/*", "text/html", ""},
		{"application/fhir+json, application/json;q=0.9", "text/html", "foreign"},
		{"application/fhir+json, application/fhir+xml", "application/fhir+xml", ""},
	} {
		far := serve(t, respond(200, "<x/>", "Content-Type", tt.contentType))
		m := fhir(contract.LaneRequest, "GET", "h/Development/Patient/1", "")
		m.Accept = tt.accept
		got, err := client(t, far.URL, &keyring{}).Deliver(t.Context(), m)
		if tt.flag == "foreign" {
			if e := failure(t, err); e.Class() != ClassForeign {
				t.Errorf("%+v: %v", tt, err)
			}
			got, err = client(t, far.URL, &keyring{}, lax).Deliver(t.Context(), m)
			tt.flag = "the answer is a page of HTML"
		}
		if err != nil || got.Flag != tt.flag {
			t.Errorf("%+v: flag %q, %v", tt, got.Flag, err)
		}
	}
}

// A 2xx to a REQUEST that promises no content is whole without a body; 200 to a read is not.
func TestDeliver_SuccessWithoutABody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201, 202, 204, 205, 206} {
		far := serve(t, respond(status, "", "Content-Location", "https://api.example/export/1", "Retry-After", "7"))
		m := fhir(contract.LaneRequest, "GET", "h/Development/Group/g/$export", "")
		got, err := client(t, far.URL, &keyring{}).Deliver(t.Context(), m)
		want := ""
		if status == 200 {
			want = "the answer has no body"
		}
		if err != nil || got.Flag != want || got.Header.Get("Content-Location") == "" || got.Header.Get("Retry-After") != "7" {
			t.Errorf("%d: flag %q, %v, %v", status, got.Flag, got.Header, err)
		}
	}
}

// The files of an export are data, whatever stands in them and however they are labelled. What is
// labelled as JSON, or is a page, is an answer.
func TestDeliver_Lines(t *testing.T) {
	t.Parallel()
	const lines, foreign = operation + "\n" + operation + "\n", "foreign"
	for _, tt := range []struct{ accept, contentType, body, flag string }{
		{"application/fhir+ndjson", "application/fhir+ndjson", lines, ""},
		{"application/fhir+ndjson", "application/fhir+ndjson", operation, ""},
		{"application/fhir+ndjson", "application/octet-stream", operation, ""},
		{"application/fhir+ndjson", "binary/octet-stream", lines, ""},
		{"application/fhir+ndjson", "application/gzip", "\x1f\x8b\x08", ""},
		{"application/fhir+ndjson", "", operation, ""},
		{"application/fhir+ndjson", "application/fhir+ndjson; fhirVersion=4.0", "", ""},
		{"", "application/fhir+ndjson", lines, ""},
		{"", "application/ndjson", "{}\n{}\n", ""},
		{"application/fhir+ndjson", "application/fhir+json", operation, "answered with errors (processing)"},
		{"application/fhir+ndjson", "application/fhir+ndjson", "<!DOCTYPE html><title>Sign in</title>", foreign},
		{"", "application/octet-stream", lines, "answered with errors (processing)"},
		{"", "application/octet-stream", "{}\n{}\n", "the answer is not JSON"},
	} {
		far := serve(t, respond(200, tt.body, "Content-Type", tt.contentType))
		m := fhir(contract.LaneRequest, "GET", "h/Development/export/1/Patient.ndjson", "")
		m.Accept = tt.accept
		got, err := client(t, far.URL, &keyring{}).Deliver(t.Context(), m)
		if tt.flag == foreign {
			if e := failure(t, err); e.Class() != ClassForeign {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || got.Flag != tt.flag || string(got.Body) != tt.body {
			t.Errorf("%+v: flag %q, %v", tt, got.Flag, err)
		}
	}
}

// What goes on the wire is a URI: RFC 3986 has none of these in a path or a query.
func TestDeliver_OnTheWireIsAURI(t *testing.T) {
	t.Parallel()
	far := serve(t, respond(200, "{}"))
	c := client(t, far.URL, &keyring{})
	const base = "/fhir/R4/h/Development/"
	for _, tt := range []struct{ path, want string }{
		{"Patient?identifier=http://hl7.org/fhir/sid/us-ssn|123", "Patient?identifier=http://hl7.org/fhir/sid/us-ssn%7C123"},
		{"Patient?identifier=a%7c1&b=%C3%bc", "Patient?identifier=a%7c1&b=%C3%bc"}, // left alone
		{`Patient?x="<>[\]^` + "`{|}", "Patient?x=%22%3C%3E%5B%5C%5D%5E%60%7B%7C%7D"},
		{"Patient?name=Müller Ō 😀", "Patient?name=M%C3%BCller%20%C5%8C%20%F0%9F%98%80"},
		{"Patient?a=!$&'()*+,;=:@/?-._~", "Patient?a=!$&'()*+,;=:@/?-._~"},
		{"Patient?q=1+2&r=a%2Bb", "Patient?q=1+2&r=a%2Bb"},
		{"Patient?", "Patient?"},
		{`Patient/a|b"<>[]^` + "`{}", "Patient/a%7Cb%22%3C%3E%5B%5D%5E%60%7B%7D"},
		{"Patient/ü x", "Patient/%C3%BC%20x"},
		{"Patient/%c3%bc%20x", "Patient/%c3%bc%20x"},
		{"Patient/1/$everything;v=1,2:3@4", "Patient/1/$everything;v=1,2:3@4"},
	} {
		before := len(far.seen())
		if _, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, "GET", "h/Development/"+tt.path, "")); err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		if got := far.seen()[before].path; got != base+tt.want {
			t.Errorf("%s\nsent %s\nwant %s", tt.path, got, base+tt.want)
		}
	}
	for _, bad := range []string{"Patient?q=50%", "Patient?q=%zz", "Patient?q=a\nb", "Patient?q=M\xfcller", "Patient?q=a#b", "Patient/a%2fb"} {
		_, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, "GET", "h/Development/"+bad, ""))
		if e := failure(t, err); !e.Poison() {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
