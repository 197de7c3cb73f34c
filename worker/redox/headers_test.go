package redox

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// most are as many headers, as long, as a message may have.
func most() http.Header {
	h := make(http.Header)
	for i := range 32 {
		name := fmt.Sprintf("X-H%c%c", 'a'+i/26, 'a'+i%26)
		h.Set(name, strings.Repeat("v", 8192/32-len(name)))
	}
	return h
}

// The HTTP headers of a message reach Redox, in every kind, beside those that the client makes;
// its token and Source ID stay its own.
func TestDeliver_HeadersOfTheMessage(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, fixed("s3cret-token"), func(c *Config, _ *Source) { c.Headers = []string{"Prefer", "x-*"} })
	kinds := map[outbox.Kind]outbox.Message{
		outbox.KindDataModel: message(contract.LaneSend, event),
		outbox.KindFHIR:      {ID: "m-1", Source: "clinic-a", Kind: outbox.KindFHIR, Lane: contract.LaneRequest, Method: "GET", Path: "hospital/Development/Patient/1"},
		outbox.KindFile:      {ID: "m-1", Source: "clinic-a", Kind: outbox.KindFile, Body: []byte("file"), ContentType: "text/plain"},
	}
	for kind, m := range kinds {
		for name, h := range map[string]http.Header{"none": nil, "one": {"Prefer": {"return=minimal"}}, "most": most()} {
			m.Header = h
			_, err := c.Deliver(t.Context(), m)
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, name, err)
			}
			r.mu.Lock()
			got := r.arrivals[len(r.arrivals)-1].header
			r.mu.Unlock()
			for key, values := range h {
				if v := got.Values(key); len(v) != 1 || v[0] != values[0] {
					t.Errorf("%s, %s: %s is %q", kind, name, key, v)
				}
			}
			if got.Get("Authorization") != "Bearer s3cret-token" || got.Get("Redox-Source-Id") != sourceID || h == nil && got.Get("Prefer") != "" {
				t.Errorf("%s, %s: header %v", kind, name, got)
			}
		}
	}
}

// What a message may not set is not sent, and its value is in no text.
func TestDeliver_HeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, fixed("t"))
	for want, h := range map[string]http.Header{
		"Redox-Header-X-Other is not among the headers":      {"X-Other": {"Timothy"}},
		"Redox-Header-Authorization is never set":            {"Authorization": {"Timothy"}},
		"Redox-Header-redox-source-id is never set":          {"redox-source-id": {"Timothy"}},
		"Redox-Header-Prefer holds a character":              {"Prefer": {"Timothy\r\nHost: x"}},
		"Redox-Header-Prefer is given more than once":        {"Prefer": {"Timothy", "Timothy"}},
		"Redox-Header-… are longer than 8192 bytes together": {"X-User-Id": {strings.Repeat("T", 2048)}, "If-Match": {strings.Repeat("T", 2048)}, "If-None-Match": {strings.Repeat("T", 2048)}, "Prefer": {strings.Repeat("T", 2048)}},
	} {
		m := message(contract.LaneSend, event)
		m.Header = h
		_, err := c.Deliver(t.Context(), m)
		if e := failure(t, err); !e.Poison() || !strings.Contains(e.SafeError(), want) || strings.Contains(err.Error(), "Timothy") {
			t.Errorf("%v, want poison and %q", err, want)
		}
	}
	if len(r.arrivals) != 0 {
		t.Errorf("%d requests were sent", len(r.arrivals))
	}
	if _, err := New(nil, nil, Config{Headers: []string{"Authorization"}}); err == nil {
		t.Error("a configuration lets messages set Authorization")
	}
}

// The headers of the answer that say more than its body come back, of whatever status, and are
// in no log.
func TestDeliver_HeadersOfTheAnswer(t *testing.T) {
	t.Parallel()
	const location = "https://fhir.example/Patient/Timothy/_history/2"
	var log bytes.Buffer
	var answer func(http.ResponseWriter, arrival)
	r := serve(t, func(w http.ResponseWriter, a arrival) { answer(w, a) })
	c := client(t, r.URL, fixed("t"), func(c *Config, _ *Source) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for _, status := range []int{200, 201, 202, 400, 404, 412, 503} {
		answer = respond(status, accepted, "Location", location, "Content-Location", "/export/1", "ETag", `W/"Timothy"`, "Last-Modified", "Mon, 30 Nov 2026 04:00:00 GMT",
			"Retry-After", "120", "Set-Cookie", "a=b")
		m := message(contract.LaneRequest, event)
		m.Header = http.Header{"X-User-Id": {"Timothy"}}
		a, err := c.Deliver(t.Context(), m)
		if len(a.Header) != 5 || a.Header.Get("Location") != location || a.Header.Get("ETag") != `W/"Timothy"` || a.Header.Get("Retry-After") != "120" {
			t.Errorf("status %d: %d headers", status, len(a.Header))
		}
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), "Timothy") {
			t.Errorf("status %d: %v", status, err)
		}
	}
	answer = respond(200, accepted)
	if a, err := c.Deliver(t.Context(), message(contract.LaneRequest, event)); err != nil || a.Header != nil {
		t.Errorf("%d headers, %v", len(a.Header), err)
	}
	if strings.Contains(log.String(), "Timothy") {
		t.Error("a value is in the log")
	}
}

// 304 answers a REQUEST that asked for what has changed, and nobody else.
func TestDeliver_NotModified(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(304, "", "ETag", `W/"7"`))
	c := client(t, r.URL, fixed("t"), func(c *Config, _ *Source) { c.Headers = []string{"If-*"} })
	for name, want := range map[string]bool{"": false, "If-Match": false, "If-None-Match": true, "if-modified-since": true} {
		for _, lane := range []contract.Lane{contract.LaneRequest, contract.LaneSend} {
			m := outbox.Message{ID: "m-1", Source: "clinic-a", Kind: outbox.KindFHIR, Lane: lane, Method: "GET", Path: "hospital/Development/Patient/1"}
			if name != "" {
				m.Header = http.Header{name: {`W/"7"`}}
			}
			a, err := c.Deliver(t.Context(), m)
			if want := want && lane == contract.LaneRequest; (err == nil) != want || want && (a.Status != 304 || a.Header.Get("ETag") == "") {
				t.Errorf("%s, %q: status %d, %v", lane, name, a.Status, err)
			}
		}
	}
}
