package auth

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// askEndpoint mints with OAuth against a handler and returns the error.
func askEndpoint(t *testing.T, h http.HandlerFunc) *TokenError {
	t.Helper()
	_, err := newTestOAuth(t, h, ecKey("k"), OAuthConfig{}).Mint(t.Context())
	e, ok := errors.AsType[*TokenError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	return e
}

func TestEndpoint_NeverFollowsARedirect(t *testing.T) {
	t.Parallel()
	for _, code := range []int{301, 302, 303, 307, 308} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			e := askEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				n++
				http.Redirect(w, r, "http://localhost/elsewhere", code)
			})
			if n != 1 || e.Status != code || !strings.Contains(e.Mend(), "never followed") {
				t.Errorf("%d: %d requests, %v", code, n, e)
			}
		})
	}
}

func TestEndpoint_BoundsWhatItReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var written atomic.Int64
		e := askEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat("a", 32<<10))
			for range 1000 {
				n, err := w.Write(chunk)
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		})
		if !errors.Is(e, ErrAnswer) || written.Load() > 1<<20 || len(e.Error()) > 300 {
			t.Errorf("%d bytes went out: %v", written.Load(), e)
		}
	})
}

func TestEndpoint_ASlowBodyEndsWithTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		e := askEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = w.Write([]byte("{"))
				_ = http.NewResponseController(w).Flush()
				bubble.Sleep(time.Second)
			}
		})
		if time.Since(begun) != defaultTimeout || !e.Temporary() {
			t.Errorf("after %s: %v", time.Since(begun), e)
		}
		bubble.Sleep(100 * time.Second) // the handler's end
	})
}

// A refusal counts also where its text does not come whole: the status has arrived, and with it
// how long to wait.
func TestEndpoint_ARefusalThatIsCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := askEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "42")
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte("slow down"))
		})
		if e.Status != http.StatusTooManyRequests || e.RetryAfter() != 42*time.Second || e.Description != "slow down" {
			t.Errorf("%d, %s: %v", e.Status, e.RetryAfter(), e)
		}
	})
}

func TestEndpoint_ErrorsHaveNoURL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := OAuthConfig{TokenURL: "http://localhost/token?tenant=hunter2"}
		o := newTestOAuth(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), ecKey("k"), cfg)
		_, err := o.Mint(t.Context())
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), `auth: token from localhost with kid "k": `) {
			t.Errorf("reads %q", err)
		}
	})
}

// net/http quotes what it cannot read of an answer, be it a token.
func TestEndpoint_ErrorsQuoteNoAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ answer, want string }{
		"no HTTP":          {`{"access_token":"hunter2"}` + "\r\n\r\n", "malformed HTTP response"},
		"header":           {"HTTP/1.1 200 OK\r\nhunter2\r\n\r\n", "malformed"},
		"first header":     {"HTTP/1.1 200 OK\r\n hunter2\r\n\r\n", "malformed"},
		"length":           {"HTTP/1.1 200 OK\r\nContent-Length: hunter2\r\n\r\n", "Content-Length"},
		"status":           {"HTTP/1.1 hunter2 OK\r\n\r\n", "malformed HTTP status code"},
		"coding":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: hunter2\r\n\r\n", "unsupported transfer encoding"},
		"where it goes on": {"HTTP/1.1 302 Found\r\nLocation: https://h/%zz?token=hunter2\r\nContent-Length: 0\r\n\r\n", "Location"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial := func(context.Context, string, string) (net.Conn, error) {
				here, there := net.Pipe()
				go func() {
					defer func() { _ = there.Close() }()
					r, err := http.ReadRequest(bufio.NewReader(there))
					if err == nil {
						_, _ = io.Copy(io.Discard, r.Body)
						_, _ = io.WriteString(there, tt.answer)
					}
				}()
				return here, nil
			}
			tr := &http.Transport{DialContext: dial, DisableKeepAlives: true}
			o := must(NewOAuth("client-1", ecKey("k"), OAuthConfig{TokenURL: testURL, Transport: tr}))
			_, err := o.Mint(t.Context())
			if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("reads %v", err)
			}
		})
	}
}

// Labels of a token answer are read as those of any other. A gateway may compress what nobody
// asked it to (RFC 9110, 12.5.3); it must not unpack to more than is read of any answer.
func TestEndpoint_Labels(t *testing.T) {
	t.Parallel()
	const good = `{"access_token":"abc","expires_in":300}`
	gz := func(text string) string {
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
		return b.String()
	}
	for name, tt := range map[string]struct{ coding, contentType, body, want string }{
		"gzip":         {"gzip", "", gz(good), ""},
		"x-gzip":       {"x-gzip", "", gz(good), ""},
		"a list":       {"gzip, identity, GZIP", "", gz(gz(good)), ""},
		"identity":     {"identity", "", good, ""},
		"mark":         {"", "", "\ufeff" + good, ""},
		"mark in gzip": {"gzip", "", gz("\ufeff" + good), ""},
		"utf-16":       {"", "application/json; charset=utf-16", "\xff\xfe" + strings.Join(strings.Split(good, ""), "\x00") + "\x00", ""},
		"too large":    {"gzip", "", gz(good + strings.Repeat(" ", answer.MaxBytes)), "larger than"},
		"unknown":      {"br", "", "x", "Content-Encoding cannot be undone"},
		"false label":  {"gzip", "", good, "Content-Encoding cannot be undone"},
	} {
		synctest.Test(t, func(t *testing.T) {
			tr := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", tt.coding)
				w.Header().Set("Content-Type", tt.contentType)
				_, _ = io.WriteString(w, tt.body)
			}))
			tr.DisableCompression = true // as that of package redox
			o := must(NewOAuth("client-1", ecKey("k"), OAuthConfig{TokenURL: testURL, Transport: tr}))
			token, err := o.Mint(t.Context())
			if tt.want == "" && (err != nil || token.Value() != "abc") || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s: %v, %v", name, token, err)
			}
		})
	}
}

func TestEndpoint_RetryAfterIsKept(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]time.Duration{"42": 42 * time.Second, "120.5": 120500 * time.Millisecond, "99999999999999999999": maxRetryAfter} {
		synctest.Test(t, func(t *testing.T) {
			e := askEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", value)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			if e.RetryAfter() != want || !e.Temporary() {
				t.Errorf("%s: %s: %v", value, e.RetryAfter(), e)
			}
		})
	}
}

// A date is one of the server's clock, however wrong ours is.
func TestEndpoint_RetryAfterByTheServersClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			e := askEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				now := time.Now().Add(ahead)
				w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
				w.Header().Set("Retry-After", now.Add(42*time.Second).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusTooManyRequests)
			})
			if e.RetryAfter() != 42*time.Second {
				t.Errorf("with the server's clock %v ahead: %v", ahead, e.RetryAfter())
			}
		})
	}
}

func TestEndpoint_ItsOwnTransport(t *testing.T) {
	t.Parallel()
	e := must(newEndpoint("token URL", "https://localhost/x", nil, nil, 0, nil))
	tr, ok := e.client.Transport.(*http.Transport)
	if !ok || tr.Proxy == nil || e.timeout != defaultTimeout {
		t.Errorf("got %+v", e.client)
	}
	if _, err := newEndpoint("token URL", "https://localhost/x", nil, nil, -1, nil); err == nil {
		t.Error("a negative timeout was taken")
	}
}
