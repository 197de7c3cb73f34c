package fhirpages_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/fhirpages"
)

// server answers by path and notes what it was asked.
type server struct {
	answer func(path string) outbox.Reply
	asked  []outbox.Message
}

func (s *server) Request(ctx context.Context, m outbox.Message) (outbox.Reply, error) {
	s.asked = append(s.asked, m)
	if ctx.Err() != nil {
		return outbox.Reply{}, ctx.Err()
	}
	return s.answer(m.Path), nil
}

const base = "https://api.test/fhir/R4/hospital/Development/"

// page is a searchset of one entry with a link to the next; "" for none.
func page(id, next string) outbox.Reply {
	link := ""
	if next != "" {
		link = `,"link":[{"relation":"self","url":"x"},{"url":"` + next + `","relation":"next"}]`
	}
	return bundle(`{"resourceType":"Bundle","type":"searchset","total":3` + link + `,"entry":[{"fullUrl":"u","resource":{"resourceType":"Patient","id":"` + id + `"}}]}`)
}

func bundle(body string) outbox.Reply {
	return outbox.Reply{MessageID: "m", Settlement: outbox.Delivered, Status: 200, Body: []byte(body)}
}

func search() outbox.Message {
	return outbox.Message{
		ID: "s", Source: "clinic-a", Method: "POST", Path: "hospital/Development/Patient/_search", ContentType: "application/x-www-form-urlencoded",
		Accept: "application/fhir+json", Header: http.Header{"Prefer": {"handling=strict"}, "If-None-Match": {"x"}}, ReplyTo: "redox.reply.clinic-a.s", Body: []byte("family=SECRET"),
	}
}

func TestFollow_AsksForEachPage(t *testing.T) {
	t.Parallel()
	s := &server{answer: func(path string) outbox.Reply {
		return map[string]outbox.Reply{"hospital/Development/Patient/_search": page("1", base+"2"), base + "2": page("2", base+"3"), base + "3": page("3", "")}[path]
	}}
	var got []string
	for p, err := range fhirpages.Follow(t.Context(), s, search(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		for r := range p.Resources() {
			got = append(got, fmt.Sprintf("%d of %d: %s", p.Number, p.Total, r))
		}
		for e := range p.Entries() {
			if !strings.HasPrefix(string(e), `{"fullUrl":"u",`) || p.Type != "searchset" {
				t.Errorf("%s", e)
			}
		}
	}
	want := []string{`1 of 3: {"resourceType":"Patient","id":"1"}`, `2 of 3: {"resourceType":"Patient","id":"2"}`, `3 of 3: {"resourceType":"Patient","id":"3"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	first := s.asked[0]
	if first.ID != "s-1" || first.ReplyTo != "redox.reply.clinic-a.s-1" || string(first.Body) != "family=SECRET" || first.Lane != contract.LaneRequest || first.Kind != outbox.KindFHIR {
		t.Errorf("%+v", first)
	}
	third := s.asked[2]
	if third.ID != "s-3" || third.ReplyTo != "redox.reply.clinic-a.s-3" || third.Method != "GET" || third.Path != base+"3" || third.Body != nil || third.ContentType != "" ||
		third.Accept != "application/fhir+json" || len(third.Header) != 1 || third.Header.Get("Prefer") == "" || third.Source != "clinic-a" {
		t.Errorf("%+v %v", third, third.Header)
	}
}

func TestFollow_Ends(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		second outbox.Reply
		most   int
		want   error
		text   string
		pages  int
	}{
		"a loop":              {second: page("2", base+"2"), want: fhirpages.ErrLoop, text: "page 3: ", pages: 2},
		"too many":            {second: page("2", base+"3"), most: 2, want: fhirpages.ErrMaxPages, text: "page 3: ", pages: 2},
		"as many as are":      {second: page("2", ""), most: 2, pages: 2},
		"a resource":          {second: bundle(`{"resourceType":"Patient","id":"SECRET"}`), want: fhirpages.ErrNoBundle, text: "page 2: ", pages: 1},
		"no JSON":             {second: bundle(`{"resourceType":"Bundle","SECRET`), want: fhirpages.ErrNoBundle, pages: 1},
		"nothing":             {second: bundle(``), want: fhirpages.ErrNoBundle, pages: 1},
		"a list":              {second: bundle(`[]`), want: fhirpages.ErrNoBundle, pages: 1},
		"refused":             {second: outbox.Reply{Settlement: outbox.Rejected, Status: 410, Error: "status 410"}, text: "page 2: it was rejected: status 410", pages: 1},
		"refused, not said":   {second: outbox.Reply{Settlement: outbox.Rejected, Status: 410}, text: "page 2: it was rejected: status 410", pages: 1},
		"expired":             {second: outbox.Reply{Settlement: outbox.Expired}, text: "page 2: it expired", pages: 1},
		"a relative link":     {second: page("2", "Patient?SECRET"), text: "page 3: the link to it is not absolute", pages: 2},
		"not modified":        {second: outbox.Reply{Settlement: outbox.Delivered, Status: 304}, pages: 2},
		"a mark and problems": {second: outbox.Reply{Settlement: outbox.Delivered, Status: 200, Error: "issues", Body: []byte("\xef\xbb\xbf{\"resourceType\":\"Bundle\"}")}, pages: 2},
		"links of odd forms":  {second: bundle(`{"link":{"relation":"next","url":"SECRET"},"entry":7,"total":"x","type":[],"resourceType":"Bundle"}`), pages: 2},
	} {
		s := &server{answer: func(path string) outbox.Reply {
			if path == base+"2" {
				return tc.second
			}
			return page("1", base+"2")
		}}
		pages, failed := 0, error(nil)
		for p, err := range fhirpages.Follow(t.Context(), s, search(), tc.most) {
			if failed = err; err == nil {
				pages++
			}
			if shown := fmt.Sprintf("%+v %v %s", p, err, must(json.Marshal(p))); strings.Contains(shown, "SECRET") || strings.Contains(shown, "api.test") {
				t.Errorf("%s: %s", name, shown)
			}
			if text := slog.AnyValue(p).Resolve().String(); strings.Contains(text, "SECRET") || strings.Contains(text, "api.test") {
				t.Errorf("%s: %s", name, text)
			}
		}
		if pages != tc.pages || len(s.asked) > 2 || (tc.want != nil || tc.text != "") != (failed != nil) || tc.want != nil && !errors.Is(failed, tc.want) ||
			failed != nil && !strings.HasPrefix(failed.Error(), tc.text) {
			t.Errorf("%s: %d pages, %d requests, %v", name, pages, len(s.asked), failed)
		}
	}
}

func must(text []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Whoever stops reading, or has no more time, asks for no more.
func TestFollow_Stops(t *testing.T) {
	t.Parallel()
	n := 0
	s := &server{answer: func(string) outbox.Reply { n++; return page("x", fmt.Sprint(base, n)) }}
	for p := range fhirpages.Follow(t.Context(), s, search(), 0) {
		if p.Number == 3 {
			break
		}
	}
	if len(s.asked) != 3 {
		t.Errorf("%d requests", len(s.asked))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for p, err := range fhirpages.Follow(ctx, s, search(), 0) {
		if cancel(); err != nil && (!errors.Is(err, context.Canceled) || p.Number != 2) {
			t.Errorf("page %d: %v", p.Number, err)
		}
	}
	if len(s.asked) != 5 {
		t.Errorf("%d requests", len(s.asked))
	}
}

// Two thousand pages take the memory of a few.
func TestFollow_MemoryIsThatOfAPage(t *testing.T) {
	const pages, size = 2000, 16 << 10
	body := []byte(`{"resourceType":"Bundle","entry":[{"resource":{"data":"` + strings.Repeat("x", size) + `"}}],"link":[{"relation":"next","url":"` + base)
	n := 0
	s := &server{}
	s.answer = func(string) outbox.Reply {
		s.asked = nil
		if n++; n == pages {
			return page("last", "")
		}
		return bundle(string(fmt.Appendf(body[:len(body):len(body)], `%d"}]}`, n)))
	}
	most, seen := uint64(0), 0
	for p, err := range fhirpages.Follow(t.Context(), s, search(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		seen = p.Number
		if p.Number%100 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if seen != pages || most > 16<<20 {
		t.Errorf("%d pages, %d MB", seen, most>>20)
	}
}

// What is no next page is none, and a body is never changed.
func FuzzFollow(f *testing.F) {
	for _, seed := range []string{string(page("1", base+"2").Body), `{"resourceType":"Bundle","entry":[{"resource":{}},[],1]}`, `{"link":[{"relation":"next"}],"resourceType":"Bundle"}`, `{`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := &server{answer: func(string) outbox.Reply { return bundle(body) }}
		for p, err := range fhirpages.Follow(t.Context(), s, search(), 3) {
			if string(p.Reply.Body) != body && err == nil {
				t.Error("the body was changed")
			}
			for r := range p.Resources() {
				if len(r) == 0 || r[0] != '{' {
					t.Errorf("resource %s", r)
				}
			}
		}
	})
}
