package smart_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/smart"
)

// Any http.Client gets the credentials of a FHIR server that describes itself.
func Example() {
	mux := http.NewServeMux() // https://fhir.example.org
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("GET /r4/.well-known/smart-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"token_endpoint":"%s/token","token_endpoint_auth_signing_alg_values_supported":["RS384","ES384"]}`, server.URL)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token":"abc","token_type":"bearer","expires_in":300,"scope":%q}`, r.FormValue("scope"))
	})
	mux.HandleFunc("GET /r4/Patient/1", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("Authorization") == "Bearer abc")
	})
	key, _ := auth.GenerateKey(auth.ES384, "my-kid") // auth.ReadKeyFile("key.pem", "my-kid")

	client, err := smart.New(server.URL+"/r4", "client id", key, smart.Config{OAuth: auth.OAuthConfig{Scope: "system/Patient.rs"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	cache, _ := auth.NewCache(client, auth.CacheConfig{})
	transport, _ := auth.NewTransport(cache, server.URL, auth.TransportConfig{})
	resp, err := (&http.Client{Transport: transport}).Get(server.URL + "/r4/Patient/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	token, err := cache.Token(context.Background())
	fmt.Println(resp.Status, token.Scope, err)

	transport.CloseIdleConnections()
	client.CloseIdleConnections()
	fmt.Println(cache.Close())
	// Output:
	// 200 OK system/Patient.rs <nil>
	// <nil>
}
