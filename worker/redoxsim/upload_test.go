package redoxsim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// form is a multipart body of one file, and its content type.
func form(field, filename, content string) (string, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, filename)
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(part, content)
	_ = w.Close()
	return b.String(), w.FormDataContentType()
}

func (g *rig) upload(content, source string) received {
	g.t.Helper()
	text, contentType := form("file", "report.pdf", content)
	h := http.Header{"Authorization": {"Bearer " + g.sim.NewToken(testClient, 0)}, "Content-Type": {contentType}}
	if source != "" {
		h.Set("Redox-Source-Id", source)
	}
	return g.do(http.MethodPost, PathUpload, text, h)
}

func uriOf(t *testing.T, r received) string {
	t.Helper()
	var a struct{ URI string }
	r.json(t, &a)
	if r.status != http.StatusCreated || a.URI == "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	return a.URI
}

func TestUpload_KeepsDigestAndSizeOnly(t *testing.T) {
	t.Parallel()
	clk := newClock()
	g := newRig(t, &Server{Now: clk.now})
	uri := uriOf(t, g.upload("the file", testSource))
	want := Blob{
		URI: g.url + "/14652614", Source: testSource, Owner: testClient, Size: 8, SHA256: sha256.Sum256([]byte("the file")), At: clk.now(), Seq: 1,
	}
	if diff := cmp.Diff([]Blob{want}, g.sim.Blobs()); diff != "" || uri != want.URI {
		t.Error(uri, diff)
	}
	a := g.last()
	if a.FileSize != 8 || a.BodySize <= 8 || a.BodySHA256 != want.SHA256 || !a.Accepted || a.Source != testSource || a.Body != nil || a.Attempt != 1 {
		t.Errorf("%+v", a)
	}
	if _, ok := g.sim.BlobContent(uri); ok {
		t.Error("the content was kept")
	}
	g.upload("the file", testSource)
	g.upload("the file", "another")
	g.upload("another file", testSource)
	st := g.sim.Stats()
	if st.Uploads != 4 || st.Reuploads != 1 || st.UploadedBytes != 36 || st.Accepted != 0 || st.Duplicates != 0 || st.ByPath[PathUpload] != 4 {
		t.Errorf("%+v", st)
	}
	if r := g.do(http.MethodGet, "/14652614", "", bearer(g.sim.NewToken(testClient, 0))); r.status != 404 {
		t.Errorf("a file can be fetched: %d", r.status)
	}
}

func TestUpload_Refusals(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{MaxUpload: 10})
	good, contentType := form("file", "f", "0123456789")
	another, anotherType := form("files", "f", "x")
	nameless, namelessType := form("file", "", "x")
	empty, emptyType := form("file", "f", "")
	boundary := strings.TrimPrefix(contentType, "multipart/form-data; boundary=")
	end := "\r\n--" + boundary + "--\r\n"
	for name, c := range map[string]struct {
		text, contentType string
		want              int
	}{
		"at the limit":      {good, contentType, 201},
		"over the limit":    {strings.Replace(good, "0123456789", "0123456789x", 1), contentType, 413},
		"far over it":       {strings.Replace(good, "0123456789", strings.Repeat("x", 1<<20), 1), contentType, 413},
		"another field":     {another, anotherType, 400},
		"no file name":      {nameless, namelessType, 400},
		"empty":             {empty, emptyType, 400},
		"JSON":              {`{"file":"x"}`, "application/json", 400},
		"no boundary":       {good, "multipart/form-data", 400},
		"another boundary":  {good, "multipart/form-data; boundary=x", 400},
		"no body":           {"", contentType, 400},
		"no end":            {strings.TrimSuffix(good, end), contentType, 400},
		"no end of form":    {strings.TrimSuffix(good, "--\r\n") + "\r\n", contentType, 400},
		"a second part":     {strings.TrimSuffix(good, end) + "\r\n--" + boundary + "\r\n\r\nx" + end, contentType, 400},
		"encoded":           {strings.Replace(good, "Content-Type:", "Content-Transfer-Encoding: base64\r\nContent-Type:", 1), contentType, 400},
		"mixed, not a form": {good, strings.Replace(contentType, "form-data", "mixed", 1), 400},
	} {
		h := http.Header{"Authorization": {"Bearer " + g.sim.NewToken(testClient, 0)}, "Content-Type": {c.contentType}}
		r := g.do(http.MethodPost, PathUpload, c.text, h)
		if r.status != c.want || g.last().Accepted != (c.want == 201) {
			t.Errorf("%s: %d, want %d: %s", name, r.status, c.want, r.body)
		}
	}
	for name, h := range map[string]http.Header{
		"no token":   {"Content-Type": {contentType}},
		"bad token":  {"Content-Type": {contentType}, "Authorization": {"Bearer x"}},
		"compressed": {"Content-Type": {contentType}, "Authorization": {"Bearer " + g.sim.NewToken(testClient, 0)}, "Content-Encoding": {"gzip"}},
	} {
		if r := g.do(http.MethodPost, PathUpload, good, h); r.status != 401 && r.status != 400 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	if n := len(g.sim.Blobs()); n != 1 {
		t.Errorf("%d files", n)
	}
}

func TestUpload_Source(t *testing.T) {
	t.Parallel()
	sim := &Server{}
	sim.AddSource(Source{ID: "only"})
	g := newRig(t, sim)
	g.upload("x", "")
	if b := sim.Blobs(); len(b) != 1 || b[0].Source != "only" {
		t.Errorf("%+v", b)
	}
	sim.AddSource(Source{ID: "second"})
	for source, want := range map[string]int{"": 400, "second": 201, "third": 403} {
		if r := g.upload("x", source); r.status != want {
			t.Errorf("%q: %d %s", source, r.status, r.body)
		}
	}
}

// The default limit is 30 MB, and a file of that size is never held.
func TestUpload_ThirtyMegabytesStream(t *testing.T) {
	g := newRig(t, nil) // not parallel: it measures memory
	send := func(size int64) int {
		const boundary = "b"
		head := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big\"\r\n\r\n"
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, g.url+PathUpload,
			io.MultiReader(strings.NewReader(head), io.LimitReader(zeros{}, size), strings.NewReader("\r\n--b--\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Authorization": {"Bearer " + g.sim.NewToken(testClient, 0)}, "Content-Type": {"multipart/form-data; boundary=" + boundary}}
		resp, err := g.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 5 {
		if got := send(30_000_000); got != 201 {
			t.Fatalf("30 MB: %d", got)
		}
	}
	if got := send(30_000_001); got != 413 {
		t.Errorf("a byte more: %d", got)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 20_000_000 {
		t.Errorf("%d bytes were allocated for 180 MB", grown)
	}
	if b := g.sim.Blobs(); len(b) != 5 || b[4].Size != 30_000_000 || g.sim.Stats().Reuploads != 4 {
		t.Errorf("%+v", b)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestFiles_References(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	mine := uriOf(t, g.upload("x", testSource))
	foreign := uriOf(t, g.upload("x", "another"))
	for name, c := range map[string]struct {
		event, top string
		want       int
	}{
		"media":              {"Media.New", `"Media":{"FileContents":"` + mine + `"}`, 200},
		"media, escaped":     {"Media.New", `"Media":{"FileContents":"` + strings.ReplaceAll(mine, "/", `\/`) + `"}`, 200},
		"media, foreign":     {"Media.New", `"Media":{"FileContents":"` + foreign + `"}`, 403},
		"media, unknown":     {"Media.New", `"Media":{"FileContents":"` + g.url + `/1"}`, 400},
		"media, base64":      {"Media.New", `"Media":{"FileContents":"JVBERi0xLjQK"}`, 200},
		"media, long base64": {"Media.New", `"Media":{"FileContents":"` + strings.Repeat("JVBE", 10_000) + `"}`, 200},
		"note":               {"Notes.New", `"Note":{"FileContents":"` + mine + `"}`, 200},
		"note, foreign":      {"Notes.New", `"Note":{"FileContents":"` + foreign + `"}`, 403},
		"result":             {"Results.New", orders("Encapsulated Data", mine), 200},
		"result, foreign":    {"Results.New", orders("Encapsulated Data", foreign), 403},
		"result, a link":     {"Results.New", orders("String", foreign), 200},
		"elsewhere":          {"Order.New", `"Media":{"FileContents":"` + foreign + `"}`, 200},
	} {
		if r := g.send(body(c.event, "", c.top)); r.status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, r.status, c.want, r.body)
		}
	}
	if b := g.sim.Blobs(); b[0].Uses != 4 || b[1].Uses != 0 {
		t.Errorf("%+v", b)
	}
}

func orders(valueType, value string) string {
	return `"Orders":[{"Results":[{"ValueType":"Numeric","Value":"1"},{"ValueType":"` + valueType + `","Value":"` + value + `"}]}]`
}

// Without a source the key owns the file.
func TestFiles_OwnedByKey(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	uri := uriOf(t, g.upload("x", ""))
	text := body("Media.New", "", `"Media":{"FileContents":"`+uri+`"}`)
	if r := g.send(text); r.status != 200 {
		t.Errorf("own: %d", r.status)
	}
	if r := g.do(http.MethodPost, PathEndpoint, text, bearer(g.sim.NewToken("somebody", 0))); r.status != 403 {
		t.Errorf("of another key: %d", r.status)
	}
}

func TestFiles_ContentIsKeptOnRequest(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{KeepBodies: true, BlobURL: "https://blob.redoxengine.com/"})
	uri := uriOf(t, g.upload("the file", ""))
	if uri != "https://blob.redoxengine.com/14652614" {
		t.Errorf("%s", uri)
	}
	if r := g.do(http.MethodGet, "/_sim/blobs/content?uri="+uri, "", nil); r.status != 200 || r.body != "the file" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := g.do(http.MethodGet, "/_sim/blobs/content?uri=x", "", nil); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
	var list []Blob
	g.do(http.MethodGet, "/_sim/blobs", "", nil).json(t, &list)
	if diff := cmp.Diff(g.sim.Blobs(), list); diff != "" || len(list) != 1 {
		t.Error(diff)
	}
}

func TestUpload_Faults(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for i, c := range []struct {
		profile      string
		upload, send int
	}{{"blob-down", 503, 200}, {"api-down", 201, 503}, {"errors-in-200", 201, 200}, {"rejected", 400, 400}} {
		if err := g.sim.SetProfile(c.profile); err != nil {
			t.Fatal(err)
		}
		if r := g.upload(fmt.Sprint(i), ""); r.status != c.upload {
			t.Errorf("%s: upload %d", c.profile, r.status)
		}
		if r := g.send(keyed("m", "")); r.status != c.send {
			t.Errorf("%s: send %d", c.profile, r.status)
		}
	}
}

func FuzzParseUpload(f *testing.F) {
	text, contentType := form("file", "f", "content")
	f.Add(text, contentType)
	f.Add("--b\r\nContent-Disposition: form-data; name=file; filename=x\r\n\r\ny\r\n--b--", "multipart/form-data; boundary=b")
	f.Fuzz(func(t *testing.T, text, contentType string) {
		u, c := parseUpload(strings.NewReader(text), contentType, 100, true)
		if c != nil {
			return
		}
		if u.size < 1 || u.size > 100 || int64(len(u.content)) != u.size || !strings.Contains(text, string(u.content)) {
			t.Fatalf("%q is %d bytes %q", text, u.size, u.content)
		}
		if u.digest != sha256.Sum256(u.content) {
			t.Fatal("the digest is another")
		}
	})
}

func FuzzFileReferences(f *testing.F) {
	f.Add(body("Media.New", "", `"Media":{"FileContents":"https://x/1"}`))
	f.Add(body("Results.New", "", orders("Encapsulated Data", "http://x")))
	f.Add(body("Notes.New", "", `"Note":[]`))
	f.Fuzz(func(t *testing.T, text string) {
		m, _ := parseMessage([]byte(text))
		for _, uri := range fileReferences(m) {
			if !strings.HasPrefix(uri, "http") {
				t.Fatalf("%q", uri)
			}
		}
	})
}
