package xoauth2_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"golang.org/x/oauth2"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/xoauth2"
)

// Whatever takes an oauth2.TokenSource gets Redox's tokens: here x/oauth2's own transport.
func ExampleTokenSource() {
	redox := http.NewServeMux() // https://api.redoxengine.com
	redox.HandleFunc("POST /v2/auth/token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"abc","token_type":"Bearer","expires_in":300}`))
	})
	redox.HandleFunc("GET /fhir/R4/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("Authorization") == "Bearer abc")
	})
	server := httptest.NewServer(redox)
	defer server.Close()
	key, err := auth.GenerateKey(auth.ES384, "my-kid") // auth.ReadKeyFile("redox.pem", "my-kid")
	if err != nil {
		fmt.Println(err)
		return
	}
	oauth, err := auth.NewOAuth("client id", key, auth.OAuthConfig{TokenURL: server.URL + "/v2/auth/token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache, err := auth.NewCache(oauth, auth.CacheConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}

	client := &http.Client{Transport: &oauth2.Transport{Source: xoauth2.TokenSource(context.Background(), cache)}}

	resp, err := client.Get(server.URL + "/fhir/R4/redox-fhir-sandbox/Development/Patient/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	token, err := xoauth2.TokenSource(context.Background(), cache).Token()
	fmt.Println(resp.Status, token.TokenType, err)
	// Output: 200 OK Bearer <nil>
}
