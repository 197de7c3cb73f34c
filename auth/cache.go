package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// maxPool bounds the pool: Redox sets no bound, but each token costs requests of the quota.
const maxPool = 64

// CacheConfig configures a Cache. The zero value keeps one token.
type CacheConfig struct {
	// Pool is how many tokens are kept and spread over the callers, each renewed
	// on its own; default 1, at most 64. Redox advises several for high traffic.
	Pool int
	// PerRequest asks for a new token each time and keeps none: Redox's advice
	// for low traffic. Pool is then 1 or 0.
	PerRequest bool
	// MintTimeout bounds one call of the Minter; default 45 s: two requests of
	// an [OAuth] with a next key.
	MintTimeout time.Duration

	// Name names this cache in metrics and logs; default "default".
	Name string
	// Logger takes one line at each change of state; default none.
	Logger *slog.Logger
	// Observe is called at each such change: with false when there is no token and none
	// could be had, with true when there is one again. It is called in order, and must
	// neither block nor call the Cache. A panic is logged. Default none.
	Observe func(usable bool)
	// Metrics is told what the Cache does; default none.
	Metrics Metrics
}

// WithDefaults returns a copy with every default filled in.
func (c CacheConfig) WithDefaults() CacheConfig {
	c.Pool = cmp.Or(c.Pool, 1)
	c.MintTimeout = cmp.Or(c.MintTimeout, 45*time.Second)
	c.Name = cmp.Or(c.Name, defaultName)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Observe == nil {
		c.Observe = func(bool) {}
	}
	return c
}

// Validate reports every problem of the config at once. It fills nothing in.
func (c CacheConfig) Validate() error {
	var bad []error
	if c.Pool < 0 || c.Pool > maxPool {
		bad = append(bad, fmt.Errorf("pool is %d: give 1 to %d", c.Pool, maxPool))
	}
	if c.PerRequest && c.Pool > 1 {
		bad = append(bad, errors.New("a pool keeps tokens and per-request mode does not: choose one"))
	}
	if c.MintTimeout < 0 {
		bad = append(bad, fmt.Errorf("mint timeout is %s: give a positive one, or 0 for 45s", c.MintTimeout))
	}
	return errors.Join(bad...)
}

// Cache hands out tokens of one [Minter]. Safe for concurrent use.
//
// One request for a token serves every caller that waits for it; a caller whose context ends leaves
// and affects no other. While [Cache.Run] runs, tokens are renewed before they end and no caller
// waits. Without it, the first call after a renewal is due starts the renewal and gets the present
// token. While the endpoint is down the present token serves until its end, and failures are
// remembered: the endpoint is asked again after a growing wait, by one request.
type Cache struct {
	minter Minter
	cfg    CacheConfig
	meter  meter
	pool   []pooled
	next   atomic.Uint32   // spreads callers over the pool
	wake   chan struct{}   // tells Run to look again; holds one
	life   context.Context // ends with Close
	end    context.CancelCauseFunc
	own    sync.WaitGroup // Run, and the requests under way

	mu       sync.Mutex
	running  bool
	joined   bool    // Run has returned: a flight ends with its last waiter
	age      int     // grows with each Renew
	flying   int     // requests under way, those that were abandoned too
	probe    *flight // the one flight that asks whether failures are over
	failures int
	lastErr  error
	nextTry  time.Time
	down     bool // the last log line said that there is no token
	unasked  bool // and that none could be asked for
	young    int  // tokens in a row that were refused when just made
	youngAt  time.Time
	counts   counts
}

// pooled is one token of the pool.
type pooled struct {
	cached atomic.Pointer[cachedToken]
	flight *flight // guarded by Cache.mu
}

// NewCache returns a Cache of m's tokens. It makes no request.
func NewCache(m Minter, cfg CacheConfig) (*Cache, error) {
	if guard.IsNil(m) {
		return nil, errors.New("auth: cache: there is no Minter: give what NewOAuth or NewLegacy returned, or a MinterFunc")
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("auth: cache: %w", err)
	}
	cfg = cfg.WithDefaults()
	c := &Cache{
		minter: m, cfg: cfg, pool: make([]pooled, cfg.Pool), wake: make(chan struct{}, 1),
		meter: newMeter(cfg.Metrics, cfg.Name, cfg.Logger),
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	return c, nil
}

// Bearer returns a token for an Authorization header. With a token at hand it neither blocks nor
// allocates. Without one it waits until ctx ends. While the endpoint is known to fail it returns a
// [*NoTokenError] at once. A token that has ended is never returned, and after [Cache.Close] none
// is.
func (c *Cache) Bearer(ctx context.Context) (string, error) {
	l, err := c.current(ctx)
	if err != nil {
		return "", err
	}
	return l.token.Value(), nil
}

// Token is [Cache.Bearer] with all that is known about the token.
func (c *Cache) Token(ctx context.Context) (Token, error) {
	l, err := c.current(ctx)
	if err != nil {
		return Token{}, err
	}
	return l.token, nil
}

// current returns the next cached token of the pool when nothing needs doing about it, else
// takes the slow path.
func (c *Cache) current(ctx context.Context) (*cachedToken, error) {
	var i int
	if len(c.pool) > 1 {
		i = int(c.next.Add(1) % uint32(len(c.pool)))
	}
	s := &c.pool[i]
	if l := s.cached.Load(); l.fresh(time.Now()) {
		return l, nil
	}
	if c.cfg.PerRequest {
		return c.single(ctx)
	}
	return c.obtain(ctx, s)
}

// Invalidate drops a token that the API refused, if it is still kept: of many callers that report
// one token, the first drops it and the others change nothing. The other tokens of the pool become
// doubtful, since what ends one usually ends all. They are replaced before they are handed out
// again, and are still used only while no new token can be had. When new tokens are refused one
// after another, the next one is asked for after a growing wait.
func (c *Cache) Invalidate(bearer string) {
	if bearer == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	dropped := c.cfg.PerRequest
	now := time.Now()
	for i := range c.pool {
		l := c.pool[i].cached.Load()
		if l == nil || l.token.Value() != bearer {
			continue
		}
		c.pool[i].cached.Store(nil)
		dropped = true
		if !l.suspect {
			c.doubtAll(now)
			c.refused(l, now)
		}
	}
	if !dropped {
		return
	}
	c.counts.invalidations++
	c.meter.invalidated()
	c.cfg.Logger.Debug("the API refused a token, it is dropped", "key", c.cfg.Name)
	if f, ok := c.minter.(interface{ Forget() }); ok {
		c.note(guard.Call("the minter", f.Forget))
	}
	c.signal()
}

// doubtAll puts every kept token under suspicion. c.mu is held.
func (c *Cache) doubtAll(now time.Time) {
	for i := range c.pool {
		if l := c.pool[i].cached.Load(); l != nil {
			c.pool[i].cached.Store(l.doubted(now))
		}
	}
}

// Renew forgets remembered failures and marks every token for renewal, for example after
// a change of keys. [Cache.Run] starts the renewal at once; without it the next caller
// does. The present tokens are used meanwhile.
func (c *Cache) Renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.age++
	c.failures, c.lastErr, c.nextTry = 0, nil, time.Time{}
	now := time.Now()
	for i := range c.pool {
		if l := c.pool[i].cached.Load(); l != nil {
			c.pool[i].cached.Store(l.due(now))
		}
	}
	c.signal()
}

// observe tells the observer whether a token can be had. c.mu is held.
func (c *Cache) observe(usable bool) {
	c.note(guard.Call("the observer", func() { c.cfg.Observe(usable) }))
}

// note logs a panic of somebody else's code.
func (c *Cache) note(err error) { note(c.cfg.Logger, c.cfg.Name, err) }

// signal wakes Run.
func (c *Cache) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
