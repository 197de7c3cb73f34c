package redox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// notes is an [Uploads] in memory, which fails on demand.
type notes struct {
	mu        sync.Mutex
	kept      map[string]string
	read      int
	lookError error
	keepError error
}

func (n *notes) Uploaded(_ context.Context, source, file string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.read++
	return n.kept[source+"/"+file], n.lookError
}

func (n *notes) Keep(_ context.Context, source, file, uri string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keepError != nil {
		return n.keepError
	}
	if n.kept == nil {
		n.kept = map[string]string{}
	}
	n.kept[source+"/"+file] = uri
	return nil
}

func offloading(store Uploads) setting {
	return func(c *Config, _ *Source) { c.Offload = Offload{Enabled: true, Over: 1000, Uploads: store} }
}

// blobs answers uploads with URIs that count them, and anything else as accepted.
func blobs(n *int, endpoint func(http.ResponseWriter, arrival)) func(http.ResponseWriter, arrival) {
	var mu sync.Mutex
	return func(w http.ResponseWriter, a arrival) {
		if a.path != "/upload" {
			endpoint(w, a)
			return
		}
		mu.Lock()
		*n++
		uri := fmt.Sprintf(`{"URI":"https://blob.example/%d"}`, *n)
		mu.Unlock()
		respond(201, uri, "Content-Type", "application/json")(w, a)
	}
}

// large is a file of n bytes, and how it is embedded.
func large(n int) (content []byte, text string) {
	content = bytes.Repeat([]byte{0xff, 0xfe, '%', 'P', 'D', 'F', 0}, n/7+1)[:n]
	return content, base64.StdEncoding.EncodeToString(content)
}

// model is event with another data model and one more member.
func model(name, member string) string {
	body := strings.Replace(event, "PatientAdmin", name, 1)
	return body[:len(body)-1] + "," + member + " \n}"
}

func TestOffload_Places(t *testing.T) {
	t.Parallel()
	content, text := large(1500)
	_, small := large(1000)
	slashed := strings.ReplaceAll(text, "/", `\/`)
	for name, tc := range map[string]struct {
		body  string
		want  int // uploads
		media string
		text  string // what gives way; "" means text
	}{
		"Media":                   {body: model("Media", `"Media" : {"FileType":"PDF","FileName":"Timothy.pdf", "FileContents": "`+text+`" , "n":1.50}`), want: 1, media: "application/pdf"},
		"Media, type behind":      {body: model("Media", `"Media":{"FileContents":"`+text+`","FileType":"jpeg"}`), want: 1, media: "image/jpeg"},
		"Media, escaped slashes":  {body: model("Media", `"Media":{"FileContents":"`+slashed+`"}`), want: 1, text: slashed},
		"Media, unknown type":     {body: model("Media", `"Media":{"FileContents":"`+text+`","FileType":"Timothy"}`), want: 1},
		"Note":                    {body: model("Notes", `"Note":{"ContentType":"Base64 Encoded","FileContents":"`+text+`"}`), want: 1},
		"Note, type behind":       {body: model("Notes", `"Note":{"FileContents":"`+text+`","ContentType":"Base64 Encoded"}`), want: 1},
		"Results, several":        {body: model("Results", `"Orders":[{"ID":"1","Results":[{"Value":"`+text+`","ValueType":"Encapsulated Data"},{"ValueType":"Numeric","Value":"`+text+`"}]},{"Results":[{"ValueType":"Encapsulated Data","FileType":"PDF","Value":"`+text+`"}]}]`), want: 2},
		"at the limit":            {body: model("Media", `"Media":{"FileContents":"`+small+`"}`)},
		"a URI already":           {body: model("Media", `"Media":{"FileContents":"https://blob.example/`+strings.Repeat("1", 2000)+`"}`)},
		"not base64":              {body: model("Media", `"Media":{"FileContents":"`+text[:2000]+`!"}`)},
		"Note in plain text":      {body: model("Notes", `"Note":{"ContentType":"Plain Text","FileContents":"`+text+`"}`)},
		"another data model":      {body: model("Order", `"Media":{"FileContents":"`+text+`"}`)},
		"another place":           {body: model("Media", `"Extra":{"FileContents":"`+text+`"}`)},
		"a place of another kind": {body: model("Media", `"Media":[{"FileContents":"`+text+`"}],"Orders":{"Results":"`+text+`"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			uploads := 0
			r := serve(t, blobs(&uploads, respond(200, accepted)))
			c := client(t, r.URL, &keyring{}, offloading(&notes{}))
			if a, err := c.Deliver(t.Context(), message(contract.LaneSend, tc.body)); err != nil || string(a.Body) != accepted {
				t.Fatal(err)
			}
			want := strings.Replace(tc.body, `{"Meta":{`, `{"Meta":{"Source":{"ID":"`+sourceID+`"},`, 1)
			given := tc.text
			if given == "" {
				given = text
			}
			for n := range tc.want {
				// The value that gives way is the one behind ValueType "Encapsulated Data".
				at := strings.Index(want, `"`+given+`"`)
				if n == 1 {
					at = strings.LastIndex(want, `"`+given+`"`)
				}
				want = want[:at] + fmt.Sprintf(`"https://blob.example/%d"`, n+1) + want[at+len(given)+2:]
			}
			seen := r.seen()
			if diff := cmp.Diff(want, seen[len(seen)-1].body); diff != "" {
				t.Error(diff)
			}
			if uploads != tc.want || len(seen) != tc.want+1 {
				t.Fatalf("%d uploads, %d requests", uploads, len(seen))
			}
			for _, a := range seen[:tc.want] {
				header, fileName, got := form(t, a)
				if !bytes.Equal(got, content) || a.header.Get("Redox-Source-Id") != sourceID || strings.Contains(fileName, "Timothy") {
					t.Errorf("file %q of %d bytes, %v", fileName, len(got), a.header)
				}
				if tc.media != "" && header["Content-Type"][0] != tc.media {
					t.Errorf("%v", header)
				}
			}
		})
	}
}

func TestOffload_MetaBehindTheFile(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	uploads := 0
	r := serve(t, blobs(&uploads, respond(200, accepted)))
	meta := strings.TrimPrefix(strings.Replace(event, "PatientAdmin", "Results", 1), "{")
	files := func(one, two string) string {
		return `{ "Orders":[{"Results":[{"Value":` + one + `,"ValueType":"Encapsulated Data"}, {"ValueType":"Encapsulated Data","Value":` + two + `}]}], `
	}
	body := files(`"`+text+`"`, `"`+text+`"`) + meta
	if _, err := client(t, r.URL, &keyring{}, offloading(&notes{})).Deliver(t.Context(), message(contract.LaneSend, body)); err != nil {
		t.Fatal(err)
	}
	want := files(`"https://blob.example/1"`, `"https://blob.example/2"`) + strings.Replace(meta, `"Meta":{`, `"Meta":{"Source":{"ID":"`+sourceID+`"},`, 1)
	if diff := cmp.Diff(want, r.seen()[2].body); diff != "" {
		t.Error(diff)
	}
}

func TestOffload_OffByDefault(t *testing.T) {
	t.Parallel()
	_, text := large(300_000)
	body := model("Media", `"Media":{"FileContents":"`+text+`"}`)
	uploads := 0
	r := serve(t, blobs(&uploads, respond(200, accepted)))
	if _, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, body)); err != nil {
		t.Fatal(err)
	}
	if uploads != 0 || !strings.Contains(r.seen()[0].body, text) {
		t.Errorf("%d uploads", uploads)
	}
	if over := (Config{}).WithDefaults().Offload.Over; over != 200_000 {
		t.Error(over)
	}
}

// TestOffload_FilesOfSamples puts a file into each sample where Redox has one, and proves
// that nothing but the file changes.
func TestOffload_FilesOfSamples(t *testing.T) {
	t.Parallel()
	_, text := large(5000)
	all, found := samples(t), 0
	for name, sample := range all {
		body := strings.Replace(string(sample), `"<...base 64 file contents...>"`, `"`+text+`"`, 1)
		body = strings.Replace(body, `"ContentType": "Plain Text"`, `"ContentType": "Base64 Encoded"`, 1)
		e, broken := readEnvelope([]byte(body))
		if broken != nil {
			t.Fatalf("%s: %v", name, broken)
		}
		if !canEmbed(e.dataModel) {
			continue
		}
		inside, broken := attachments([]byte(body), e.dataModel, 1000)
		if broken != nil {
			t.Fatalf("%s: %v", name, broken)
		}
		for _, f := range inside.files {
			found++
			if got := body[f.start:f.end]; got != `"`+text+`"` {
				t.Errorf("%s: %.40s", name, got)
			}
		}
	}
	if found == 0 && len(all) > 0 { // they are no part of the repository
		t.Errorf("no file in %d samples", len(all))
	}
}

func TestOffload_SurvivesACrashBetweenUploadAndSend(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	body := model("Results", `"Orders":[{"Results":[{"Value":"`+text+`","ValueType":"Encapsulated Data"},{"ValueType":"Encapsulated Data","Value":"`+text+`"}]}]`)
	uploads, store := 0, &notes{}
	var down atomic.Bool
	down.Store(true)
	r := serve(t, blobs(&uploads, func(w http.ResponseWriter, a arrival) {
		if down.Load() {
			panic(http.ErrAbortHandler) // as if the worker had died: no answer, and another client comes
		}
		respond(200, accepted)(w, a)
	}))
	m := message(contract.LaneSend, body)
	m.Sequence = 7
	_, err := client(t, r.URL, &keyring{}, offloading(store)).Deliver(t.Context(), m)
	if e := failure(t, err); !e.UnknownOutcome() || uploads != 2 {
		t.Fatalf("%+v, %d uploads", e, uploads)
	}
	down.Store(false)
	again := client(t, r.URL, &keyring{}, offloading(store))
	if _, err := again.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	seen := r.seen()
	last := seen[len(seen)-1].body
	if uploads != 2 || !strings.Contains(last, `"https://blob.example/1"`) || !strings.Contains(last, `"https://blob.example/2"`) {
		t.Errorf("%d uploads; sent %.200s", uploads, last)
	}
	// Another message, though its id is the same, is another file.
	m.Sequence = 8
	if _, err := again.Deliver(t.Context(), m); err != nil || uploads != 4 {
		t.Errorf("%v, %d uploads", err, uploads)
	}
	for key, uri := range store.kept {
		if strings.Contains(key, "m-1") || !strings.HasPrefix(uri, "https://blob.example/") {
			t.Errorf("%s: %s", key, uri)
		}
	}
}

func TestOffload_Limits(t *testing.T) {
	t.Parallel()
	small := func(c *Config, _ *Source) { c.MaxBody, c.MaxFile = 2_000, 9_000 }
	for name, tc := range map[string]struct {
		file, pad int
		want      string
	}{
		"a file over max body":  {file: 8_000},
		"at the limit":          {file: 9_000},
		"a file over its limit": {file: 9_100, want: "the file has 9100 bytes; the limit is 9000"},
		"far too large":         {file: 20_000, want: "bytes; the limit is 14000"},
		"too large without it":  {file: 3_000, pad: 2_000, want: "bytes; the limit is 2000"},
	} {
		_, text := large(tc.file)
		uploads := 0
		r := serve(t, blobs(&uploads, respond(200, accepted)))
		body := model("Media", `"Media":{"FileContents":"`+text+`","Pad":"`+strings.Repeat(" ", tc.pad)+`"}`)
		_, err := client(t, r.URL, &keyring{}, offloading(&notes{}), small).Deliver(t.Context(), message(contract.LaneSend, body))
		if tc.want == "" {
			if err != nil || uploads != 1 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if e := failure(t, err); !e.Poison() || !strings.Contains(e.SafeError(), tc.want) {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestOffload_AnotherSourceIDIsTheUploadersToo(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	uploads, store := 0, &notes{}
	r := serve(t, blobs(&uploads, respond(200, accepted)))
	c := client(t, r.URL, &keyring{}, offloading(store), func(_ *Config, s *Source) { s.AllowOtherSource = true })
	body := strings.Replace(model("Media", `"Media":{"FileContents":"`+text+`"}`), `{"Meta":{`, `{"Meta":{"Source":{"ID":"`+otherID+`"},`, 1)
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, body)); err != nil {
		t.Fatal(err)
	}
	for _, a := range r.seen() {
		if a.header.Get("Redox-Source-Id") != otherID {
			t.Errorf("%s went as %s", a.path, a.header.Get("Redox-Source-Id"))
		}
	}
	before := maps.Clone(store.kept)
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, model("Media", `"Media":{"FileContents":"`+text+`"}`))); err != nil || uploads != 2 || len(store.kept) != len(before)+1 {
		t.Errorf("%v, %d uploads: one file served two sources", err, uploads)
	}
}

// What may be a file and stays is counted, and logged without anything of it.
func TestOffload_WhatStaysIsCounted(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	for name, tc := range map[string]struct {
		body string
		want map[string]float64
	}{
		"nothing":             {model("Media", `"Media":{"FileContents":"`+text+`"}`), map[string]float64{}},
		"a URI":               {model("Media", `"Media":{"FileContents":"https://blob.example/`+strings.Repeat("1", 2000)+`"}`), map[string]float64{}},
		"a data URI":          {model("Media", `"Media":{"FileContents":"data:application/pdf;base64,`+text+`"}`), map[string]float64{"not_base64": 1}},
		"not base64":          {model("Media", `"Media":{"FileContents":"`+text+`!"}`), map[string]float64{"not_base64": 1}},
		"Note in plain text":  {model("Notes", `"Note":{"ContentType":"Plain Text","FileContents":"`+strings.Repeat("Timothy. ", 300)+`"}`), map[string]float64{}},
		"Note, type left out": {model("Notes", `"Note":{"FileContents":"`+text+`"}`), map[string]float64{"unknown_place": 1}},
		"another data model":  {model("Order", `"Media":{"FileContents":"`+text+`"},"Other":["`+text+`"]`), map[string]float64{"unknown_place": 2}},
		"a word of letters":   {model("Order", `"Note":"`+strings.Repeat("timothy", 300)+`"`), map[string]float64{}},
	} {
		uploads, registry, log := 0, prometheus.NewRegistry(), bytes.Buffer{}
		r := serve(t, blobs(&uploads, respond(200, accepted)))
		c := client(t, r.URL, &keyring{}, offloading(&notes{}), func(c *Config, _ *Source) {
			c.Registerer, c.Logger = registry, slog.New(slog.NewTextHandler(&log, nil))
		})
		if _, err := c.Deliver(t.Context(), message(contract.LaneSend, tc.body)); err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for name, n := range counted(t, registry) {
			if why, ok := strings.CutPrefix(name, "files_left_total "); ok {
				got[why] = n
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if lines := strings.Count(log.String(), "what may be a file stays in its message"); lines != len(tc.want) || strings.Contains(log.String(), text[:8]) || strings.Contains(log.String(), "imothy") {
			t.Errorf("%s: %s", name, log.String())
		}
	}
}

// FuzzAttachments: whatever is found is a JSON string of the body in base64; replacing it
// leaves JSON with all other bytes in place.
func FuzzAttachments(f *testing.F) {
	_, text := large(60)
	f.Add(model("Media", `"Media":{"FileContents":"`+text+`"}`), "Media")
	f.Add(model("Notes", `"Note":{"ContentType":"Base64 Encoded","FileContents":"`+text+`","FileContents":"YQ=="}`), "Notes")
	f.Add(model("Results", `"Orders":[{"Results":[{"ValueType":"Encapsulated Data","Value":"`+text+`"},{}]},{"Results":[]}]`), "Results")
	f.Add(bundled(`{"content":[{"attachment":{"data":"`+text+`"}}],"resourceType":"DocumentReference","photo":{"data":"`+text+`","url":""}}`), "")
	f.Add(`[{"resourceType":"Patient","photo":[{"data":["`+text+`"],"data":"`+text+`"}],"x":{"valueAttachment":{"data":"YWJj"}}}]`, "")
	f.Fuzz(func(t *testing.T, body, dataModel string) {
		quoted, err := json.Marshal(dataModel)
		if err != nil || !json.Valid([]byte(body)) {
			return
		}
		if dataModel == "" {
			quoted = nil // FHIR
		}
		found, broken := attachments([]byte(body), quoted, 0)
		if broken != nil {
			return // not UTF-8
		}
		var edits []edit
		kept, from := "", 0
		for _, a := range found.files {
			if a.name.end > 0 {
				edits = append(edits, edit{a.name.start, a.name.end, []byte(`"url"`)})
				kept += body[from:a.name.start] + `"url"`
				if from = a.name.end; !jsonscan.Is([]byte(body[a.name.start:a.name.end]), "data") {
					t.Fatalf("%q is not the name", body[a.name.start:a.name.end])
				}
			}
			edits = append(edits, edit{a.start, a.end, []byte(`"U"`)})
			kept += body[from:a.start] + `"U"`
			from = a.end
			if _, ok := jsonscan.Measure([]byte(body[a.start+1 : a.end-1])); !ok || body[a.start] != '"' || body[a.end-1] != '"' {
				t.Fatalf("%q is no file", body[a.start:a.end])
			}
		}
		out := splice([]byte(body), edits)
		if string(out) != kept+body[from:] || !json.Valid(out) {
			t.Fatalf("%q became %q", body, out)
		}
	})
}
