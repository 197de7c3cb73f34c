package redox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

const toOperation = "hospital/Development/Observation/$observation-create"

// header is a message Bundle whose MessageHeader has these members besides its type.
func header(members string) string {
	return `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader"` + members + `}},{"resource":{"resourceType":"Observation"}}]}`
}

// identified is a body as a request to the operation carries it.
func identified(t rapid.TB, body string) (string, *Error) {
	t.Helper()
	s := newSender("clinic-a", Source{ID: sourceID, Environment: envDevelopment}, fixed("t"))
	m := fhir(contract.LaneSend, http.MethodPost, toOperation, body)
	out := &call{body: httpwire.Pieces{m.Body}}
	w, err := s.readWriteback(out, &m)
	if err == nil {
		var edits []edit
		edits, err = s.identify(&m, w)
		out.body = edited(m.Body, edits)
	}
	return string(bytes.Join(out.body[:], nil)), err
}

func TestWriteback_SourceID(t *testing.T) {
	t.Parallel()
	const q = `"urn:uuid:` + sourceID + `"`
	for name, tc := range map[string]struct{ body, want string }{
		"no source": {
			header(`,"eventUri":"x"`),
			`{"resourceType":"Bundle","type":"message","entry":[{"resource":{"source":{"endpoint":` + q + `},"resourceType":"MessageHeader","eventUri":"x"}},{"resource":{"resourceType":"Observation"}}]}`,
		},
		"source without endpoint":    {header(`,"source":{"name":"é"}`), header(`,"source":{"endpoint":` + q + `,"name":"é"}`)},
		"source empty":               {header(`,"source": { }`), header(`,"source": {"endpoint":` + q + ` }`)},
		"source null":                {header(`,"source": null `), header(`,"source": {"endpoint":` + q + `} `)},
		"endpoint empty":             {header(`,"source":{"a":1,"endpoint":"","b":2}`), header(`,"source":{"a":1,"endpoint":` + q + `,"b":2}`)},
		"endpoint null":              {header(`,"source":{"endpoint": null}`), header(`,"source":{"endpoint": ` + q + `}`)},
		"names escaped":              {header(`,"\u0073ource":{"endpoin\u0074":""}`), header(`,"\u0073ource":{"endpoin\u0074":` + q + `}`)},
		"numbers kept":               {header(`,"source":{},"n":1.00000000000000000001e5`), header(`,"source":{"endpoint":` + q + `},"n":1.00000000000000000001e5`)},
		"its own":                    {header(`,"source":{"endpoint":"` + sourceID + `"}`), ""},
		"its own, as a URN":          {header(`,"source":{"endpoint":"URN:UUID:` + strings.ToUpper(sourceID) + `"}`), ""},
		"somebody's system":          {header(`,"source":{"endpoint":"https://ehr.example/"}`), ""},
		"a number":                   {header(`,"source":{"endpoint":7}`), ""},
		"source is no object":        {header(`,"source":"x"`), ""},
		"sources, the second says":   {header(`,"source":{},"source":{"endpoint":"https://ehr.example/"}`), ""},
		"endpoints, the first says":  {header(`,"source":{"endpoint":"https://ehr.example/","endpoint":null}`), ""},
		"a transaction":              {strings.Replace(header(``), `"message"`, `"transaction"`, 1), ""},
		"a collection":               {strings.Replace(header(``), `"message"`, `"collection"`, 1), ""},
		"no MessageHeader":           {`{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"Observation"}}]}`, ""},
		"no entry":                   {`{"resourceType":"Bundle","type":"message"}`, ""},
		"no list":                    {`{"resourceType":"Bundle","type":"message","entry":{"resource":{"resourceType":"MessageHeader"}}}`, ""},
		"a resource":                 {`{"resourceType":"MessageHeader"}`, ""},
		"a list":                     {`[{"resourceType":"MessageHeader"}]`, ""},
		"no type":                    {`{"entry":[{"resource":{"resourceType":"MessageHeader"}}]}`, `{"entry":[{"resource":{"source":{"endpoint":` + q + `},"resourceType":"MessageHeader"}}]}`},
		"no type, not in front":      {`{"entry":[{"resource":{}},{"resource":{"resourceType":"MessageHeader"}}]}`, ""},
		"the type comes last":        {`{"entry":[{"resource":{"resourceType":"MessageHeader"}}],"type":"message"}`, `{"entry":[{"resource":{"source":{"endpoint":` + q + `},"resourceType":"MessageHeader"}}],"type":"message"}`},
		"the other type comes last":  {`{"entry":[{"resource":{"resourceType":"MessageHeader"}}],"type":"batch"}`, ""},
		"not in front":               {`{"type":"message","entry":[{"fullUrl":"x"},{"resource":{"source":{"name":"y"}, "resourceType":"MessageHeader"}}]}`, `{"type":"message","entry":[{"fullUrl":"x"},{"resource":{"source":{"endpoint":` + q + `,"name":"y"}, "resourceType":"MessageHeader"}}]}`},
		"of two, the first":          {`{"type":"message","entry":[{"resource":{"resourceType":"MessageHeader"}},{"resource":{"resourceType":"MessageHeader"}}]}`, `{"type":"message","entry":[{"resource":{"source":{"endpoint":` + q + `},"resourceType":"MessageHeader"}},{"resource":{"resourceType":"MessageHeader"}}]}`},
		"within another resource":    {`{"type":"message","entry":[{"resource":{"resourceType":"X","contained":[{"resourceType":"MessageHeader"}]}}]}`, ""},
		"half a surrogate pair kept": {header(`,"source":{"name":"\ud800"}`), header(`,"source":{"endpoint":` + q + `,"name":"\ud800"}`)},
	} {
		if tc.want == "" {
			tc.want = tc.body
		}
		if got, err := identified(t, tc.body); err != nil || got != tc.want {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(tc.want, got))
		}
	}
	for name, body := range map[string]string{
		"source twice":   header(`,"source":{},"source":{}`),
		"endpoint twice": header(`,"source":{"endpoint":"","endpoint":null}`),
	} {
		if got, err := identified(t, body); err == nil || !err.Poison() || got != body {
			t.Errorf("%s: %v %s", name, err, got)
		}
	}
}

// Where it goes decides as well, and how it gets there makes no difference.
func TestWriteback_OnTheWire(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	bare, whole := header(`,"source":{}`), header(`,"source":{"endpoint":"urn:uuid:`+sourceID+`"}`)
	for name, tc := range map[string]struct {
		method, path, contentType, body, want string
		set                                   setting
		header                                string
	}{
		"an operation":         {path: toOperation, body: bare, want: whole},
		"an older operation":   {path: "s/Development/Observation/$write-results", body: bare, want: whole},
		"escaped":              {path: "s/Development/Observation/%24observation-create", body: bare, want: whole},
		"a slash behind it":    {path: toOperation + "/", body: bare, want: whole},
		"a query string":       {path: toOperation + "?a=/b", body: bare, want: whole},
		"says what it is":      {path: toOperation, contentType: "application/json; charset=utf-8", body: bare, want: whole},
		"a mark in front":      {path: toOperation, body: "\xef\xbb\xbf" + bare, want: whole},
		"no operation":         {path: "s/Development/Bundle", body: bare, want: bare},
		"the base":             {path: "s/Development", body: bare, want: bare},
		"a query that says so": {path: "s/Development/Bundle?x=/$y", body: bare, want: bare},
		"an update":            {method: "PUT", path: toOperation, body: bare, want: bare},
		"no JSON, it says":     {path: toOperation, contentType: "text/plain", body: bare, want: bare},
		"another source's, allowed": {
			path: toOperation, body: headers(otherID), want: headers(otherID), header: otherID,
			set: func(_ *Config, s *Source) { s.AllowOtherSource = true },
		},
		"none, others allowed": {path: toOperation, body: bare, want: whole, set: func(_ *Config, s *Source) { s.AllowOtherSource = true }},
	} {
		if tc.set == nil {
			tc.set = func(*Config, *Source) {}
		}
		m := fhir(contract.LaneSend, tc.method, tc.path, tc.body)
		m.ContentType = tc.contentType
		before := len(r.seen())
		if _, err := client(t, r.URL, &keyring{}, tc.set).Deliver(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if tc.header == "" {
			tc.header = sourceID
		}
		if got := r.seen()[before]; got.body != tc.want || got.header.Get("Redox-Source-Id") != tc.header {
			t.Errorf("%s: %s %s", name, got.header.Get("Redox-Source-Id"), got.body)
		}
	}
}

// The Source ID counts for the size: what Redox would refuse is not sent.
func TestWriteback_Size(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	body := header(``)
	for most, ok := range map[int64]bool{int64(len(body)) + 70: true, int64(len(body)) + 69: false} {
		c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.MaxBody = most })
		_, err := c.Deliver(t.Context(), fhir(contract.LaneSend, "POST", toOperation, body))
		if (err == nil) != ok || err != nil && !failure(t, err).Poison() {
			t.Errorf("%d bytes: %v", most, err)
		}
	}
}

// One of 100,000 entries and one of 20 MB are read once, and not copied.
func TestWriteback_ManyEntriesAndMuchData(t *testing.T) {
	const bare = `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"MessageHeader"}}%s],"type":"message"}`
	for name, rest := range map[string]string{
		"100,000 entries": strings.Repeat(`,{"resource":{"resourceType":"Observation","source":{"endpoint":"x"}}}`, 100_000),
		"20 MB":           `,{"resource":{"resourceType":"Binary","data":"` + strings.Repeat("QUJD", 5_000_000) + `"}}`,
	} {
		body := []byte(fmt.Sprintf(bare, rest))
		s := newSender("clinic-a", Source{ID: sourceID}, fixed("t"))
		m := fhir(contract.LaneSend, http.MethodPost, toOperation, "")
		m.Body = body
		out := &call{body: httpwire.Pieces{body}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w, err := s.readWriteback(out, &m)
		if err == nil {
			var edits []edit
			edits, err = s.identify(&m, w)
			out.body = edited(m.Body, edits)
		}
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		if out.body.Size() != int64(len(body))+70 {
			t.Errorf("%s: %d bytes of %d", name, out.body.Size(), len(body))
		}
		if copied := after.TotalAlloc - before.TotalAlloc; copied > uint64(len(body))/3 {
			t.Errorf("%s: %d bytes were allocated for one of %d", name, copied, len(body))
		}
	}
}

// FuzzWriteback: with the Source ID in it, a body says what it said before and who sends it, and
// no other byte of it has changed.
func FuzzWriteback(f *testing.F) {
	for _, seed := range []string{
		writeback, header(``), header(`,"source":null`), header(`,"source":{}`), header(`,"source":{"endpoint":""}`), header(`,"source":{"name":"x"}`),
		headers(sourceID, otherID), `{"type":"message","entry":[{"resource":{}},{"resource":{"\u0073ource":{"endpoint":null},"resourceType":"MessageHeader"}}]}`,
		`{"entry":[{"resource":{"resourceType":"MessageHeader","source":[]}}]}`, `{"entry":[[]]}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkJSON(body) != nil {
			return
		}
		before := bytes.Clone(body)
		text, broken := identified(t, string(body))
		if !bytes.Equal(before, body) {
			t.Error("the body was changed")
		}
		strict := jsontext.Value(bytes.Clone(body))
		if broken != nil || strict.Compact(jsontext.AllowDuplicateNames(false)) != nil {
			return // a name is there twice: nobody knows what it says
		}
		want, filled := decoded(body), false
		if h := withoutSender(want); h != nil {
			source, _ := h["source"].(map[string]any)
			if filled = h["source"] == nil || source != nil; filled && source == nil {
				source = map[string]any{}
			}
			if filled {
				source["endpoint"], h["source"] = "urn:uuid:"+sourceID, source
			}
		}
		if got := decoded([]byte(text)); !reflect.DeepEqual(want, got) {
			t.Errorf("%s became %s", body, text)
		}
		if !filled && text != string(body) {
			t.Errorf("%s became %s", body, text)
		}
		if again, err := identified(t, text); err != nil || again != text {
			t.Errorf("%s becomes %s: %v", text, again, err)
		}
	})
}

func decoded(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return text // deeper than encoding/json reads
	}
	return v
}

// withoutSender is the MessageHeader that needs a sender; nil when there is none.
func withoutSender(v any) map[string]any {
	top, _ := v.(map[string]any)
	list, _ := top["entry"].([]any)
	kind, _ := top["type"].(string)
	if n, ok := top["type"].(json.Number); ok {
		kind = n.String()
	}
	for i, e := range list {
		entry, _ := e.(map[string]any)
		h, _ := entry["resource"].(map[string]any)
		if h["resourceType"] != "MessageHeader" {
			continue
		}
		source, _ := h["source"].(map[string]any)
		if endpoint := source["endpoint"]; endpoint != nil && endpoint != "" || kind != "message" && (kind != "" || i > 0) {
			return nil
		}
		return h
	}
	return nil
}
