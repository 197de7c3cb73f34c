// Auth is a program that does nothing but send one request with a token of package auth.
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/redoxworker/redoxworker/auth"
)

func main() {
	key, err := auth.ReadKeyFile(os.Args[1], "kid")
	if err != nil {
		panic(err)
	}
	oauth, err := auth.NewOAuth("client", key, auth.OAuthConfig{})
	if err != nil {
		panic(err)
	}
	cache, err := auth.NewCache(oauth, auth.CacheConfig{})
	if err != nil {
		panic(err)
	}
	transport, err := auth.NewTransport(cache, "https://api.redoxengine.com", auth.TransportConfig{})
	if err != nil {
		panic(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get("https://api.redoxengine.com/")
	fmt.Fprintln(os.Stdout, resp, err)
}
