package bulkexport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

// inBucket is an export to a bucket.
func (r *rig) inBucket(store *Bucket, change func(*Config)) *Export {
	r.t.Helper()
	cfg := Config{Source: "clinic-a", Request: Request{Path: groupPath}, Store: store, OrderSecret: []byte(workertest.OrderSecret)}
	if change != nil {
		change(&cfg)
	}
	e, err := New(r.JS, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// A bucket of an object store takes an export as a directory does, killed at any step too.
func TestBucket(t *testing.T) {
	t.Parallel() // after the bubbles, which must not get timers of its connection
	for _, at := range []int{0, 7} {
		t.Run(fmt.Sprint("at ", at), func(t *testing.T) { // not in a bubble: Put of the client library leaves goroutines behind
			r := &rig{workertest.Start(t, simulated(redoxsim.Export{Resources: 50, LineBytes: 10_000, Polls: 2, RetryAfter: "0.01"})), t, ""}
			bucket, err := r.JS.CreateObjectStore(r.t.Context(), jetstream.ObjectStoreConfig{Bucket: "exports"})
			if err != nil {
				r.t.Fatal(err)
			}
			store, err := NewBucket(bucket, "/today/")
			if err != nil {
				r.t.Fatal(err)
			}
			ctx, kill := context.WithCancelCause(r.t.Context())
			defer kill(nil)
			made := 0
			_, err = r.inBucket(store, func(c *Config) {
				c.Store, c.Parallel = killing{Store: store, kill: kill, at: at, after: true, made: &made}, 1
			}).Run(ctx)
			if at > 0 && !errors.Is(err, errKilled) {
				r.t.Fatalf("at %d of %d: %v", at, made, err)
			}
			result, err := r.inBucket(store, nil).Run(r.t.Context())
			if err != nil || len(result.Files) != 3 || !result.OK() || r.asked(http.MethodGet, "/$export") != 1 {
				r.t.Errorf("at %d: %+v", at, result)
			}
			for _, f := range result.Files {
				text, err := bucket.GetBytes(r.t.Context(), "today/"+f.Name)
				if err != nil || len(text) != 500_000 || bytes.Count(text, []byte("\n")) != 50 || f.Lines != 50 || f.Bytes != 500_000 {
					r.t.Errorf("%+v: %d bytes, %v", f, len(text), err)
				}
			}
			if _, err := bucket.GetInfo(r.t.Context(), "today/"+manifestName); err != nil {
				r.t.Error(err)
			}
		})
	}
}

// awayStore is an object store that does not take objects.
type awayStore struct {
	jetstream.ObjectStore
	err error
}

func (a awayStore) Put(_ context.Context, _ jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	if _, err := io.ReadAll(r); err != nil {
		return nil, err
	}
	return nil, a.err
}

// That NATS is away passes; what it refuses, and what is wrong with the file, does not.
func TestBucket_Away(t *testing.T) {
	t.Parallel()
	boom, file := errors.New("boom"), func() io.Reader { return strings.NewReader("{}\n") }
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errKilled)
	for name, tt := range map[string]struct {
		ctx    context.Context
		r      io.Reader
		err    error
		passes bool
	}{
		"no answer":       {t.Context(), file(), nats.ErrTimeout, true},
		"nobody there":    {t.Context(), file(), jetstream.ErrNoStreamResponse, true},
		"no room":         {t.Context(), file(), &jetstream.APIError{Code: 503, ErrorCode: 10077}, false},
		"a broken file":   {t.Context(), iotest.ErrReader(boom), nats.ErrTimeout, false},
		"a file cut off":  {t.Context(), iotest.ErrReader(passing{boom}), nats.ErrTimeout, true},
		"an end, and all": {ended, file(), nats.ErrTimeout, false},
	} {
		b := &Bucket{store: awayStore{err: tt.err}}
		if err := b.write(tt.ctx, "x", tt.r, func() Figures { return Figures{} }); err == nil || isPassing(err) != tt.passes {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A journal whose last line was torn, and a file of which nothing was noted, are no obstacle. A file
// that was removed comes again.
func TestDir_AfterACrash(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{Resources: 5}), func(r *rig) {
		want := r.run(nil)
		journal := filepath.Join(r.dir, journalName)
		text, err := os.ReadFile(journal)
		if err != nil {
			r.t.Fatal(err)
		}
		for cut := range len(text) {
			if err := os.WriteFile(journal, text[:cut], 0o600); err != nil {
				r.t.Fatal(err)
			}
			if got := r.run(nil); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				r.t.Fatalf("cut at %d: %+v, want %+v", cut, got, want)
			}
		}
		before := r.asked(http.MethodGet, ".ndjson")
		if err := os.Remove(filepath.Join(r.dir, "Patient-0001.ndjson")); err != nil {
			r.t.Fatal(err)
		}
		r.run(nil)
		r.whole(5, usual...)
		if n := r.asked(http.MethodGet, ".ndjson") - before; n != 1 {
			r.t.Errorf("%d files came again", n)
		}
	})
}

// elsewhere answers requests to another host without a network.
type elsewhere struct {
	handler http.Handler
	asked   []*http.Request
}

func (e *elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	e.asked = append(e.asked, r)
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// Files on another host are fetched from there, without a token, where that host is allowed; else the
// export says what to do. No link is in the text.
func TestRun_FilesElsewhere(t *testing.T) {
	signed := "https://files.example/SIGNED"
	for name, tt := range map[string]struct {
		url   string
		allow []string
		says  string
	}{
		"allowed":          {url: signed, allow: []string{"files.example"}},
		"with its port":    {url: signed, allow: []string{"other.example", "FILES.example:443"}},
		"not allowed":      {url: signed, says: `another host, "files.example": allow it (AllowHosts, --allow-host)`},
		"another port":     {url: signed, allow: []string{"files.example:8443"}, says: "another host"},
		"another host":     {url: "https://files.example.evil.example/SIGNED", allow: []string{"files.example"}, says: "another host"},
		"a user":           {url: "https://files.example@evil.example/SIGNED", allow: []string{"files.example"}, says: "leads nowhere"},
		"without TLS":      {url: "http://files.example/SIGNED", allow: []string{"files.example"}, says: "not to be had by https"},
		"another protocol": {url: "ftp://files.example/SIGNED", allow: []string{"files.example"}, says: "not to be had by https"},
	} {
		t.Run(name, func(t *testing.T) {
			o := simulated(redoxsim.Export{Resources: 5, FilesURL: tt.url, Polls: -1})
			inBubble(t, o, func(r *rig) {
				far := &elsewhere{handler: http.StripPrefix("/SIGNED", r.Redox.Files())}
				result, err := r.export(func(c *Config) {
					c.AllowHosts, c.Client, c.Parallel = tt.allow, &http.Client{Transport: far}, 1
				}).Run(r.t.Context())
				if tt.says != "" {
					if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "SIGNED") || len(far.asked) != 0 {
						r.t.Errorf("%v, asked %d times", err, len(far.asked))
					}
					return
				}
				if err != nil || !result.OK() || len(far.asked) != 3 || r.asked(http.MethodGet, ".ndjson") != 0 {
					r.t.Fatalf("%+v, %v, asked %d times", result, err, len(far.asked))
				}
				r.whole(5, usual...)
				for _, request := range far.asked {
					if len(request.Header) != 1 || request.Header.Get("Accept") != asLines {
						r.t.Errorf("it was asked with %v", request.Header)
					}
				}
			})
		})
	}
}

// What another host answers is borne, followed no further, or ends the export; links that were signed
// for a while are asked for again.
func TestRun_AnswersFromElsewhere(t *testing.T) {
	answers := map[string]struct {
		status   int
		header   string
		from, to int // the requests that are answered so, by their number
		says     string
	}{
		"busy":          {503, "", 1, 2, ""},
		"expired":       {403, "", 2, 2, ""},
		"expired again": {403, "", 3, 3, ""},
		"gone":          {403, "", 1, 99, "does not have it any more"},
		"a page":        {200, "text/html; charset=utf-8", 1, 2, ""},
		"pages":         {200, "text/html", 1, 99, "a page of HTML"},
		"no NDJSON":     {200, "text/plain", 1, 99, "line 1 is no JSON object"},
		"redirect":      {302, "https://evil.example/", 1, 99, `"files.example" answered 302`},
		"refused":       {400, "", 1, 99, `"files.example" answered 400`},
	}
	for name, tt := range answers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, simulated(redoxsim.Export{FilesURL: "https://files.example/x", Polls: -1}), func(r *rig) {
				files, asked := http.StripPrefix("/x", r.Redox.Files()), 0
				far := &elsewhere{handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					if asked++; asked >= tt.from && asked <= tt.to {
						w.Header().Set("Location", tt.header)
						w.Header().Set("Content-Type", tt.header)
						w.WriteHeader(tt.status)
						_, _ = io.WriteString(w, "<!doctype html>SIGNED")
						return
					}
					files.ServeHTTP(w, q)
				})}
				result, err := r.export(func(c *Config) {
					c.AllowHosts, c.Client, c.Parallel = []string{"files.example"}, &http.Client{Transport: far}, 1
				}).Run(r.t.Context())
				if tt.says == "" && (err != nil || !result.OK()) || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "SIGNED")) {
					r.t.Errorf("%+v, %v", result, err)
				}
				for _, q := range far.asked {
					if q.URL.Host != "files.example" {
						r.t.Errorf("%s was asked", q.URL.Host)
					}
				}
			})
		})
	}
}

// Beside an error the result is what is there, whatever the export was at.
func TestRun_SaysWhatIsThere(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{FilesURL: "https://files.example/x", Polls: -1}), func(r *rig) {
		files, asked := http.StripPrefix("/x", r.Redox.Files()), 0
		far := &elsewhere{handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if asked++; asked == 1 {
				files.ServeHTTP(w, q)
				return
			}
			r.Redox.SetRules(redoxsim.Rule{Event: "FHIR.Group.export-status", Fault: redoxsim.Fault{Status: 404}})
			w.WriteHeader(http.StatusForbidden)
		})}
		change := func(c *Config) {
			c.AllowHosts, c.Client, c.Parallel = []string{"files.example"}, &http.Client{Transport: far}, 1
		}
		result, err := r.export(change).Run(r.t.Context())
		if !errors.Is(err, ErrGone) || len(result.Files) != 1 || result.Complete || result.TransactionTime == "" {
			r.t.Errorf("asked again: %+v, %v", result, err)
		}
		r.Redox.SetRules()
		if err := r.export(change).Cancel(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		if result, err = r.export(change).Run(r.t.Context()); !errors.Is(err, ErrCancelled) || len(result.Files) != 1 {
			r.t.Errorf("cancelled: %+v, %v", result, err)
		}
	})
}

// A body that stands still is given up, and asked for again.
func TestRun_StandstillElsewhere(t *testing.T) {
	inBubble(t, simulated(redoxsim.Export{FilesURL: "https://files.example/x", Polls: -1}), func(r *rig) {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write([]byte("{}\n")); err != nil || w.Close() != nil {
			r.t.Fatal(err)
		}
		asked := 0
		far := roundTrip(func(q *http.Request) (*http.Response, error) {
			asked++
			response := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(packed.Bytes()))}
			if asked == 1 {
				response.Body = io.NopCloser(hanging{q.Context()})
			}
			return response, nil
		})
		d := taking(func() {
			result := r.run(func(c *Config) {
				c.AllowHosts, c.Client, c.Parallel = []string{"files.example"}, &http.Client{Transport: far}, 1
			})
			if result.Files[0].Lines != 1 {
				r.t.Errorf("%+v", result)
			}
		})
		if asked != 4 || d < idleTime || d > idleTime+10*time.Second {
			r.t.Errorf("asked %d times, %s", asked, d)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type hanging struct{ ctx context.Context }

func (h hanging) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}
