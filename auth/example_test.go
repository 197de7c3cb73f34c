package auth_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth"
)

// redox answers token requests and API calls, in place of the real one.
func redox() *httptest.Server {
	token := rand.Text()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/auth/token", func(w http.ResponseWriter, r *http.Request) {
		if strings.Count(r.PostFormValue("client_assertion"), ".") != 2 {
			http.Error(w, `{"error":"invalid_request"}`, http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 300})
	})
	mux.HandleFunc("POST /endpoint", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "Invalid request", http.StatusUnauthorized)
		}
	})
	return httptest.NewServer(mux)
}

// Five lines give any http.Client Redox credentials.
func Example() {
	server := redox() // https://api.redoxengine.com
	defer server.Close()
	key, _ := auth.GenerateKey(auth.ES384, "my-kid") // auth.ReadKeyFile("redox.pem", "my-kid")

	oauth, _ := auth.NewOAuth("client id", key, auth.OAuthConfig{TokenURL: server.URL + "/v2/auth/token"})
	cache, _ := auth.NewCache(oauth, auth.CacheConfig{})
	transport, _ := auth.NewTransport(cache, server.URL, auth.TransportConfig{})
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()

	resp, err := client.Post(server.URL+"/endpoint", "application/json", strings.NewReader(`{"Meta":{}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A legacy API key, with renewal in the background.
func ExampleLegacy() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"accessToken":"f3d1","expires":"2099-01-01T00:00:00.000Z","refreshToken":"9a0c"}`))
	}))
	defer server.Close()

	legacy, err := auth.NewLegacy("api key", auth.NewSecret("its secret"), auth.LegacyConfig{URL: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache, err := auth.NewCache(legacy, auth.CacheConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- cache.Run(ctx) }()

	token, err := cache.Token(ctx)
	fmt.Println(token.Value(), err)
	fmt.Println(auth.NewSecret(token.Value()))

	cancel()
	fmt.Println(<-done)
	// Output:
	// f3d1 <nil>
	// [redacted]
	// <nil>
}

// A rotation with overlap: the server refuses the old key, and the next one signs from then
// on. Both public halves are served meanwhile.
func ExampleOAuth_rotation() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header, _, _ := strings.Cut(r.PostFormValue("client_assertion"), ".")
		text, _ := base64.RawURLEncoding.DecodeString(header)
		if strings.Contains(string(text), `"kid":"2025"`) { // withdrawn in the dashboard
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"Public key not found, check client_id, kid and Redox dashboard settings"}`))
			return
		}
		_, _ = w.Write([]byte(`{"access_token":"abc","token_type":"Bearer","expires_in":300}`))
	}))
	defer server.Close()
	current, _ := auth.GenerateKey(auth.ES384, "2025")
	next, _ := auth.GenerateKey(auth.ES384, "2026")

	oauth, err := auth.NewOAuth("client id", current, auth.OAuthConfig{TokenURL: server.URL, Next: next})
	if err != nil {
		fmt.Println(err)
		return
	}
	jwks := auth.NewJWKSHandler(oauth.Keys, time.Hour) // for http.Handle("/.well-known/jwks.json", jwks)

	token, err := oauth.Mint(context.Background())
	fmt.Println(token.Lifetime(), err)
	fmt.Println(oauth.KeyInUse())

	w := httptest.NewRecorder()
	jwks.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.well-known/jwks.json", nil))
	fmt.Println(strings.Count(w.Body.String(), `"kid"`), w.Header().Get("Cache-Control"))
	// Output:
	// 5m0s <nil>
	// ES384 key "2026"
	// 2 public, max-age=3600
}
