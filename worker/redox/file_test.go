package redox

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

const uploadAnswer = `{"URI":"https://blob.redoxengine.com/14652614"}`

// form reads an upload as a server would: one field named file.
func form(t testing.TB, a arrival) (header map[string][]string, name string, content []byte) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		t.Fatalf("%v %s", err, kind)
	}
	r := multipart.NewReader(strings.NewReader(a.body), params["boundary"])
	part, err := r.NextPart()
	if err != nil {
		t.Fatal(err)
	}
	if content, err = io.ReadAll(part); err != nil || part.FormName() != "file" {
		t.Fatalf("%v, field %q", err, part.FormName())
	}
	if _, err := r.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("more than one field: %v", err)
	}
	return part.Header, part.FileName(), content
}

func fileMessage(contentType string, body []byte) outbox.Message {
	return outbox.Message{ID: "m-1", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindFile, ContentType: contentType, Body: body}
}

func toBlob(url string) setting { return func(c *Config, _ *Source) { c.BlobURL = url } }

func TestFile_Upload(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(201, uploadAnswer, "Content-Type", "application/json"))
	c := client(t, "http://127.0.0.1:1", &keyring{}, toBlob(r.URL+"/gw"))
	body := bytes.Repeat([]byte("%PDF\r\n--\x00\xff"), 100_000)
	for contentType, want := range map[string][2]string{
		"":                             {"application/octet-stream", "file"},
		"application/pdf":              {"application/pdf", "file.pdf"},
		`text/plain; charset="utf-8"`:  {`text/plain; charset="utf-8"`, "file.txt"},
		"image/jpeg":                   {"image/jpeg", "file.jpg"},
		"application/vnd.example.Bix1": {"application/vnd.example.Bix1", "file"},
	} {
		a, err := c.Deliver(t.Context(), fileMessage(contentType, body))
		if err != nil || a.Status != 201 || string(a.Body) != uploadAnswer || a.Flag != "" {
			t.Fatalf("%v %+v", err, a)
		}
		seen := r.seen()
		last := seen[len(seen)-1]
		header, name, content := form(t, last)
		if !bytes.Equal(content, body) || name != want[1] || header["Content-Type"][0] != want[0] {
			t.Errorf("%s: name %q, header %v, %d bytes", contentType, name, header, len(content))
		}
		h := last.header
		if last.method != "POST" || last.path != "/gw/upload" || h.Get("Accept") != "application/json" || h.Get("Redox-Source-Id") != sourceID ||
			h.Get("Content-Length") != strconv.Itoa(len(last.body)) {
			t.Errorf("%s %s %v", last.method, last.path, h)
		}
	}
}

func TestFile_Guards(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(201, uploadAnswer))
	c := client(t, r.URL, &keyring{}, toBlob(r.URL), func(c *Config, _ *Source) { c.MaxFile = 10 })
	for name, m := range map[string]outbox.Message{
		"empty": fileMessage("", nil), "too large": fileMessage("", make([]byte, 11)), "bad header": fileMessage("a\r\nX: y", []byte("x")),
	} {
		_, err := c.Deliver(t.Context(), m)
		if e := failure(t, err); !e.Poison() || e.Attempted() {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if len(r.seen()) != 0 {
		t.Error("a refused file was uploaded")
	}
	if _, err := c.Deliver(t.Context(), fileMessage("", make([]byte, 10))); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

func TestFile_Answers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		class  Class
		flag   string
	}{
		"no URI":       {201, `{}`, "", "the answer names no URI"},
		"URI of sorts": {201, `{"URI":"x y"}`, "", "the answer names no URI"},
		"a mark first": {201, "\ufeff" + uploadAnswer, "", ""},
		"not JSON":     {201, "x", "", "the answer is not JSON"},
		"forbidden":    {403, "Forbidden", ClassRefused, ""},
		"too large":    {413, "", ClassRefused, ""},
		"throttled":    {429, "", ClassThrottled, ""},
		"unavailable":  {503, "", ClassUnavailable, ""},
		"no answer":    {504, "", ClassNoAnswer, ""},
	} {
		r := serve(t, respond(tc.status, tc.body))
		a, err := client(t, r.URL, &keyring{}, toBlob(r.URL)).Deliver(t.Context(), fileMessage("", []byte("x")))
		if tc.class == "" {
			if err != nil || a.Flag != tc.flag {
				t.Errorf("%s: %v, flag %q", name, err, a.Flag)
			}
			continue
		}
		if e := failure(t, err); e.Class() != tc.class || !e.Attempted() || e.UnknownOutcome() != (tc.status == 504) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestFile_TheBlobHostPausesAlone(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1", &keyring{}, toBlob("http://127.0.0.1:2"))
	m := fileMessage("", []byte("x"))
	_, err := c.Deliver(t.Context(), m)
	if e := failure(t, err); e.Pauses() != "host:127.0.0.1:2" || e.Pauses() != c.HostScope(m) || e.Attempted() {
		t.Errorf("%+v", e)
	}
}

func TestFile_401IsResentWhole(t *testing.T) {
	t.Parallel()
	r := serve(t, onlyToken("token-2"))
	body := bytes.Repeat([]byte("x"), 300_000)
	_, err := client(t, r.URL, &keyring{}, toBlob(r.URL)).Deliver(t.Context(), fileMessage("", body))
	if err != nil {
		t.Fatal(err)
	}
	seen := r.seen()
	if len(seen) != 2 || seen[0].body != seen[1].body {
		t.Fatalf("%d requests, or bodies that differ", len(seen))
	}
	if _, _, content := form(t, seen[1]); !bytes.Equal(content, body) {
		t.Error("the file was changed")
	}
}

// TestFile_ThirtyMegabytesAreNotCopied counts what one upload of the largest file
// allocates, the server's discarding included.
func TestFile_ThirtyMegabytesAreNotCopied(t *testing.T) { // not parallel: it counts bytes
	r := serve(t, nil)
	var arrived int64
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		arrived, _ = io.Copy(io.Discard, q.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, uploadAnswer)
	})
	c := client(t, r.URL, &keyring{}, toBlob(r.URL))
	m := fileMessage("application/pdf", make([]byte, 30_000_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 3_000_000 || arrived < 30_000_000 {
		t.Errorf("%d bytes allocated for a file that is there already; %d arrived", used, arrived)
	}
}
