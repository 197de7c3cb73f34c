package auth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func get(h http.Handler, method string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/.well-known/jwks.json", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestJWKSHandler_ServesCurrentAndNext(t *testing.T) {
	t.Parallel()
	o := must(NewOAuth("c", rsaKey("old"), OAuthConfig{Next: ecKey("new")}))
	w := get(NewJWKSHandler(o.Keys, 0), http.MethodGet)
	if w.Code != 200 || w.Body.String() != string(must(JWKS(rsaKey("old"), ecKey("new")))) {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
	want := map[string]string{
		"Content-Type": "application/json", "Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
	}
	for name, value := range want {
		if d := cmp.Diff(value, w.Header().Get(name)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if strings.Contains(w.Body.String(), `"d"`) {
		t.Error("something private is served")
	}
}

func TestJWKSHandler_CacheControl(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]string{0: "public, max-age=300", time.Hour: "public, max-age=3600", -1: "no-cache"} {
		if got := get(NewJWKSHandler(func() []Key { return nil }, age), http.MethodGet).Header().Get("Cache-Control"); got != want {
			t.Errorf("%s: %q, want %q", age, got, want)
		}
	}
}

func TestJWKSHandler_ETagChangesWithTheKeys(t *testing.T) {
	t.Parallel()
	o := must(NewOAuth("c", rsaKey("old"), OAuthConfig{}))
	h := NewJWKSHandler(o.Keys, 0)
	tag := get(h, http.MethodGet).Header().Get("ETag")
	if w := get(h, http.MethodGet, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("%d with %d bytes", w.Code, w.Body.Len())
	}
	if err := o.SetKeys(rsaKey("old"), ecKey("new")); err != nil {
		t.Fatal(err)
	}
	if w := get(h, http.MethodGet, "If-None-Match", tag); w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("%d after a rotation", w.Code)
	}
}

func TestJWKSHandler_Methods(t *testing.T) {
	t.Parallel()
	h := NewJWKSHandler(func() []Key { return []Key{ecKey("k")} }, 0)
	if w := get(h, http.MethodHead); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
	for _, m := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if w := get(h, m); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d", m, w.Code)
		}
	}
}
