package auth

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// Bounds of the sets of scopes that are kept.
const (
	defaultSets = 64
	maxSets     = 4096
)

// ScopesConfig configures Scopes.
type ScopesConfig struct {
	// Max is how many sets of scopes keep their tokens; default 64, at most 4096. A further one
	// replaces the least recently used.
	Max int
	// Cache is the configuration of the Cache of each set. Its Name is that of all.
	Cache CacheConfig
}

// Validate reports every problem of the config at once. It fills nothing in.
func (c ScopesConfig) Validate() error {
	bad := []error{c.Cache.Validate()}
	if c.Max < 0 || c.Max > maxSets {
		bad = append(bad, fmt.Errorf("max is %d: give 1 to %d, or 0 for %d", c.Max, maxSets, defaultSets))
	}
	return errors.Join(bad...)
}

// Scopes hands out tokens for exactly the scopes that a request needs. It has a [Cache] for each
// set of scopes, whatever their order. A set without tokens does not affect the others. Tokens
// are renewed by the callers that use them. Safe for concurrent use.
type Scopes struct {
	minter func(scope string) Minter
	cfg    ScopesConfig

	mu     sync.Mutex
	closed bool
	sets   map[string]*list.Element // of *scopeSet
	used   *list.List               // the last one first
	gone   []*Cache                 // whose requests may be under way
}

// scopeSet is one set and its tokens.
type scopeSet struct {
	scope string
	cache *Cache
}

// NewScopes returns Scopes whose tokens come from the Minter that minter returns for
// a scope, which is space separated and sorted; the method [OAuth.WithScope] is such
// a function.
func NewScopes(minter func(scope string) Minter, cfg ScopesConfig) (*Scopes, error) {
	if minter == nil {
		return nil, errors.New("auth: scopes: there is no function that returns a Minter: give the method WithScope of an OAuth")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("auth: scopes: %w", err)
	}
	cfg.Max = cmp.Or(cfg.Max, defaultSets)
	return &Scopes{minter: minter, cfg: cfg, sets: make(map[string]*list.Element), used: list.New()}, nil
}

// ofRequest is the key of a context's scopes.
type ofRequest struct{}

// ContextWithScopes returns a context for requests that need these scopes. Without
// one, [Scopes] asks for none.
func ContextWithScopes(ctx context.Context, scopes ...string) context.Context {
	return context.WithValue(ctx, ofRequest{}, joinScopes(scopes))
}

// joinScopes returns a set in one spelling.
func joinScopes(scopes []string) string {
	all := strings.Fields(strings.Join(scopes, " "))
	slices.Sort(all)
	return strings.Join(slices.Compact(all), " ")
}

// checkScope takes what RFC 6749 calls scope tokens, section 3.3.
func checkScope(scope string) error {
	if len(scope) > 4096 {
		return fmt.Errorf("auth: scopes: they have %d bytes, at most 4096 are taken: ask for fewer", len(scope))
	}
	for _, c := range []byte(scope) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return errors.New("auth: scopes: one has a character that no scope has: remove quotes, backslashes and what is not ASCII")
		}
	}
	return nil
}

// Bearer returns a token for the scopes of the context: see [ContextWithScopes] and
// [Cache.Bearer].
func (s *Scopes) Bearer(ctx context.Context) (string, error) {
	scope, _ := ctx.Value(ofRequest{}).(string)
	c, err := s.of(scope)
	if err != nil {
		return "", err
	}
	return c.Bearer(ctx)
}

// Cache returns the Cache of a set of scopes. It goes on working when another set has replaced it.
func (s *Scopes) Cache(scopes ...string) (*Cache, error) { return s.of(joinScopes(scopes)) }

// of returns the Cache of a scope in the one spelling.
func (s *Scopes) of(scope string) (*Cache, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if e := s.sets[scope]; e != nil {
		s.used.MoveToFront(e)
		return e.Value.(*scopeSet).cache, nil
	}
	if err := checkScope(scope); err != nil {
		return nil, err
	}
	var m Minter
	if err := guard.Call("the function that returns a Minter", func() { m = s.minter(scope) }); err != nil {
		return nil, err
	}
	c, err := NewCache(m, s.cfg.Cache)
	if err != nil {
		return nil, err
	}
	for s.used.Len() >= s.cfg.Max {
		s.drop(s.used.Back())
	}
	s.sets[scope] = s.used.PushFront(&scopeSet{scope, c})
	return c, nil
}

// drop lets go of a set. Its requests that nobody waits for are ended. s.mu is held.
func (s *Scopes) drop(e *list.Element) {
	set := s.used.Remove(e).(*scopeSet)
	delete(s.sets, set.scope)
	set.cache.letGo()
	s.gone = slices.DeleteFunc(append(s.gone, set.cache), func(c *Cache) bool { return !c.asks() })
}

// Invalidate drops a token that the API refused: see [Cache.Invalidate].
func (s *Scopes) Invalidate(bearer string) {
	s.mu.Lock()
	var of []*Cache
	for _, e := range s.sets {
		if c := e.Value.(*scopeSet).cache; c.keeps(bearer) {
			of = append(of, c)
		}
	}
	if front := s.used.Front(); front != nil && s.cfg.Cache.PerRequest {
		of = []*Cache{front.Value.(*scopeSet).cache} // none keeps it, and one counts it
	}
	s.mu.Unlock()
	for _, c := range of {
		c.Invalidate(bearer)
	}
}

// Close closes the Cache of every set, as [Cache.Close] does.
func (s *Scopes) Close() error {
	s.mu.Lock()
	s.closed = true
	all := s.gone
	for e := s.used.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*scopeSet).cache)
	}
	s.gone, s.sets = nil, nil
	s.used.Init()
	s.mu.Unlock()
	var errs []error
	for _, c := range all {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// letGo ends the requests that nobody waits for, and later ones with their last waiter.
func (c *Cache) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = !c.running
	for i := range c.pool {
		if f := c.pool[i].flight; f != nil && f.waiters == 0 {
			c.abandon(f)
		}
	}
}

// asks reports whether a request is under way.
func (c *Cache) asks() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flying > 0
}

// keeps reports whether the token is one of the Cache's.
func (c *Cache) keeps(bearer string) bool {
	for i := range c.pool {
		if l := c.pool[i].cached.Load(); l != nil && l.token.Value() == bearer {
			return true
		}
	}
	return false
}

// scopedOAuth is an OAuth that asks for another scope.
type scopedOAuth struct {
	*OAuth
	scope string
}

// Mint implements [Minter].
func (s scopedOAuth) Mint(ctx context.Context) (Token, error) { return s.mintScope(ctx, s.scope) }

// WithScope returns a Minter that asks for another scope, space separated, instead of
// [OAuthConfig.Scope]. It shares keys, clock and connections with the OAuth.
func (o *OAuth) WithScope(scope string) Minter { return scopedOAuth{o, scope} }
