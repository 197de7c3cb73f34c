package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
)

// network reaches the test servers.
var network = &http.Transport{}

// algorithms are the two that SMART requires of a server.
var algorithms = []auth.Algorithm{auth.RS384, auth.ES384}

// generate makes a key pair for the test.
func generate(t testing.TB, a auth.Algorithm, kid string) auth.Key {
	t.Helper()
	k, err := auth.GenerateKey(a, kid)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// adapted returns the key as it signs with an algorithm.
func adapted(t testing.TB, k auth.Key, a auth.Algorithm) auth.Key {
	t.Helper()
	with, err := k.With(a)
	if err != nil {
		t.Fatal(err)
	}
	return with
}

// another returns an algorithm that a key for a can sign as well, if there is one.
func another(a auth.Algorithm) (auth.Algorithm, bool) {
	switch {
	case strings.HasPrefix(string(a), "RS"):
		return "PS" + a[2:], true
	case strings.HasPrefix(string(a), "PS"):
		return "RS" + a[2:], true
	}
	return "", false
}

// publicSet returns the keys' JWKS as a server reads it.
func publicSet(t testing.TB, keys ...auth.Key) []byte {
	t.Helper()
	set, err := auth.JWKS(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// recorder keeps each form that goes out; while replaying it sends the first
// one again in the place of each later one, as a confused proxy would.
type recorder struct {
	mu     sync.Mutex
	bodies [][]byte
	replay int // how many requests are to be replaced
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err = errors.Join(err, req.Body.Close()); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.bodies = append(r.bodies, body)
	if r.replay > 0 && len(r.bodies) > 1 {
		body = r.bodies[0]
		r.replay--
	}
	r.mu.Unlock()
	again := req.Clone(req.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	again.GetBody = nil
	return network.RoundTrip(again)
}

// jtis returns the jti of each recorded assertion.
func (r *recorder) jtis(t testing.TB) []string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, body := range r.bodies {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatal(err)
		}
		claims := decode(t, strings.Split(form.Get("client_assertion"), ".")[1])
		jti, _ := claims["jti"].(string)
		all = append(all, jti)
	}
	return all
}

// client returns an OAuth for a server's token URL.
func client(t testing.TB, id string, k auth.Key, tokenURL string, cfg auth.OAuthConfig) *auth.OAuth {
	t.Helper()
	cfg.TokenURL = tokenURL
	o, err := auth.NewOAuth(id, k, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// postForm sends a form as it is, and returns status and OAuth error.
func postForm(t testing.TB, tokenURL string, form []byte) (status int, code string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, tokenURL, bytes.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := network.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct{ Error string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer.Error
}
