package xoauth2

import (
	"context"
	"errors"
	"time"

	"golang.org/x/oauth2"

	"github.com/redoxworker/redoxworker/auth"
)

// source adapts a Cache. The context is in the struct because
// [oauth2.TokenSource] has none.
type source struct {
	ctx   context.Context
	cache *auth.Cache
}

// TokenSource returns c as an [oauth2.TokenSource]. Its Token waits for a token
// until ctx ends; its errors are the Cache's. Safe for concurrent use.
//
// Give it to oauth2.Transport directly. oauth2.NewClient and
// oauth2.ReuseTokenSource put a second cache in front, which keeps a token that
// [auth.Cache.Invalidate] has dropped until it ends. oauth2.Transport does not
// react to a 401 at all; [auth.Transport] does.
func TokenSource(ctx context.Context, c *auth.Cache) oauth2.TokenSource {
	return source{ctx, c}
}

// Token returns the Cache's present token.
func (s source) Token() (*oauth2.Token, error) {
	if s.cache == nil || s.ctx == nil {
		return nil, errors.New("xoauth2: there is no Cache or no context")
	}
	t, err := s.cache.Token(s.ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{
		AccessToken: t.Value(),
		TokenType:   "Bearer",
		Expiry:      t.Expires,
		ExpiresIn:   int64(time.Until(t.Expires) / time.Second),
	}, nil
}
