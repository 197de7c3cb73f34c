package xoauth2_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/xoauth2"
)

func newCache(t *testing.T, m auth.MinterFunc) *auth.Cache {
	t.Helper()
	c, err := auth.NewCache(m, auth.CacheConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func minute(context.Context) (auth.Token, error) {
	return auth.NewToken("abc", time.Now(), time.Now().Add(time.Minute)), nil
}

func TestTokenSource_ServesOAuth2Transport(t *testing.T) {
	t.Parallel()
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") }))
	defer s.Close()
	c := &http.Client{Transport: &oauth2.Transport{Source: xoauth2.TokenSource(t.Context(), newCache(t, minute)), Base: s.Client().Transport}}
	resp, err := c.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got != "Bearer abc" {
		t.Errorf("sent %q", got)
	}
}

func TestTokenSource_SaysWhenTheTokenEnds(t *testing.T) {
	t.Parallel()
	token, err := xoauth2.TokenSource(t.Context(), newCache(t, minute)).Token()
	if err != nil {
		t.Fatal(err)
	}
	if !token.Valid() || token.Type() != "Bearer" || token.ExpiresIn < 50 || token.ExpiresIn > 60 || time.Until(token.Expiry) > time.Minute {
		t.Errorf("ends %s, in %d s", token.Expiry, token.ExpiresIn)
	}
}

func TestTokenSource_ErrorsAreTheCaches(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	c := newCache(t, func(context.Context) (auth.Token, error) { return auth.Token{}, down })
	_, err := xoauth2.TokenSource(t.Context(), c).Token()
	if _, ok := errors.AsType[*auth.NoTokenError](err); !ok || !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}

func TestTokenSource_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newCache(t, func(ctx context.Context) (auth.Token, error) { <-ctx.Done(); return auth.Token{}, ctx.Err() })
	if _, err := xoauth2.TokenSource(ctx, c).Token(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
