package auth_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/auth"
)

// broker gets tokens from a service of its own, which keeps a session.
type broker struct{ session string }

// Mint serves auth.Minter.
func (b *broker) Mint(context.Context) (auth.Token, error) {
	if b.session == "" {
		b.session = "a new one"
		return auth.NewToken("first", time.Now(), time.Now().Add(time.Hour)), nil
	}
	return auth.Token{}, &brokerError{"the broker rests"}
}

// Forget drops the session, for the API refused a token that came by it.
func (b *broker) Forget() { b.session = "" }

// Skew is shown by Cache.Status.
func (b *broker) Skew() (time.Duration, bool) { return 2 * time.Second, true }

// brokerError says how it is to be retried, and what helps.
type brokerError struct{ text string }

func (e *brokerError) Error() string             { return e.text }
func (e *brokerError) Temporary() bool           { return false }
func (e *brokerError) Heals() bool               { return true } // ask again, slowly
func (e *brokerError) RetryAfter() time.Duration { return 30 * time.Second }
func (e *brokerError) Mend() string              { return "wait for the morning" }

// A Minter of one's own, with the methods that it may have besides, and an error with those
// that it may have.
func ExampleMinter() {
	cache, err := auth.NewCache(&broker{}, auth.CacheConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = cache.Close() }()
	ctx := context.Background()

	bearer, err := cache.Bearer(ctx)
	fmt.Println(bearer, err)
	cache.Invalidate(bearer) // the API answered 401: the session is forgotten, and the next one is good
	bearer, err = cache.Bearer(ctx)
	fmt.Println(bearer, err)

	perRequest, _ := auth.NewCache(&broker{session: "an old one"}, auth.CacheConfig{PerRequest: true})
	_, err = perRequest.Bearer(ctx)
	none, _ := errors.AsType[*auth.NoTokenError](err)
	status := perRequest.Status()
	fmt.Println(none.Cause, status.Mend, status.Skew, none.RetryAfter() > 29*time.Second)
	// Output:
	// first <nil>
	// first <nil>
	// the broker rests wait for the morning 2s true
}

// One client, and for each request a token that may do what the request needs and no more.
func ExampleScopes() {
	server := redox()
	defer server.Close()
	key, _ := auth.GenerateKey(auth.ES384, "my-kid")
	oauth, err := auth.NewOAuth("client id", key, auth.OAuthConfig{TokenURL: server.URL + "/v2/auth/token"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer oauth.CloseIdleConnections()
	scopes, err := auth.NewScopes(oauth.WithScope, auth.ScopesConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = scopes.Close() }()
	transport, err := auth.NewTransport(scopes, server.URL, auth.TransportConfig{}) // for an http.Client
	fmt.Println(transport != nil, err)

	ctx := auth.ContextWithScopes(context.Background(), "system/Patient.rs", "system/Encounter.rs") // of the request
	bearer, err := scopes.Bearer(ctx)
	again, _ := scopes.Bearer(auth.ContextWithScopes(context.Background(), "system/Encounter.rs system/Patient.rs"))
	fmt.Println(bearer != "", bearer == again, err)
	// Output:
	// true <nil>
	// true true <nil>
}
