package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// Change is a change of keys that is ready to be applied.
type Change struct {
	keys     *Keys
	next     map[string]*Key
	fresh    []*Key
	watchers []*filewatch.Watcher // of fresh
	used     map[string]bool
}

// Plan prepares a change to the keys of c, before Run or while it runs, and changes nothing. The
// error holds the problems of all keys as [config.Mistake]. Plan and [Change.Apply] are for one
// caller at a time.
func (k *Keys) Plan(c *config.Config) (*Change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next, fresh, err := k.plan(c)
	if err != nil {
		return nil, err
	}
	watchers, err := k.watchers(fresh)
	if err != nil {
		return nil, err
	}
	return &Change{k, next, fresh, watchers, usedKeys(c)}, nil
}

// Credentials returns the tokens that every key will have, by its name.
func (c *Change) Credentials() map[string]redox.Credentials { return credentials(c.next) }

// Apply makes the change. A key that did not change keeps its tokens. A key that changed, or is
// new, is asked for a token if something uses it. A key that is gone is no longer asked for tokens,
// and its holders may use the ones they have to their end. An error is about metrics that the
// registry has already from another part; the change is applied nevertheless.
func (c *Change) Apply() error {
	k := c.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, old := range k.all {
		if c.next[name] != old {
			old.retire()
		}
	}
	var errs []error
	for _, one := range c.fresh {
		errs = append(errs, k.measure(one))
	}
	k.all, k.used = c.next, c.used
	if k.life == nil {
		return errors.Join(errs...)
	}
	for i, one := range c.fresh {
		k.begin(one, c.watchers[i])
	}
	for name, one := range k.all {
		k.renew(one, k.used[name])
	}
	k.warnUnused()
	return errors.Join(errs...)
}

// set changes the keys to those of c.
func (k *Keys) set(c *config.Config) error {
	change, err := k.Plan(c)
	if err != nil {
		return err
	}
	return change.Apply()
}

// Unusable returns the keys of c of which no credentials can be made, and why, without those that
// did not change.
func (k *Keys) Unusable(c *config.Config) map[string]error {
	k.mu.Lock()
	defer k.mu.Unlock()
	why := make(map[string]error)
	for name := range c.Keys {
		if old := k.all[name]; old != nil && old.is(c, name) {
			continue
		}
		if _, err := k.make(c, name); err != nil {
			why[name] = err
		}
	}
	return why
}

// Unusable is [Keys.Unusable] where there are no keys yet.
func Unusable(c *config.Config) map[string]error {
	return (&Keys{options: KeysOptions{Logger: slog.New(slog.DiscardHandler)}}).Unusable(c)
}

// Same reports whether c has the key as it is now.
func (k *Keys) Same(c *config.Config, name string) bool {
	one := k.Get(name)
	_, there := c.Keys[name]
	return one != nil && there && one.is(c, name)
}

// plan answers the keys of c: those that are there already, and fresh ones. k.mu is held.
func (k *Keys) plan(c *config.Config) (next map[string]*Key, fresh []*Key, err error) {
	next = make(map[string]*Key, len(c.Keys))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		if old := k.all[name]; old != nil && old.is(c, name) {
			next[name] = old
			continue
		}
		one, err := k.make(c, name)
		if err != nil {
			errs = append(errs, config.Mistakef("keys.%s: %w", name, err))
			continue
		}
		next[name], fresh = one, append(fresh, one)
	}
	return next, fresh, errors.Join(errs...)
}

// is reports whether the key is that of a configuration. What its files hold is not looked at:
// it follows them.
func (k *Key) is(c *config.Config, name string) bool {
	return k.written() == withoutSecrets(asWritten(c, name)) && k.inline == inlineSecrets(c.Keys[name])
}

// written is the key as asWritten would have it, without secrets.
func (k *Key) written() config.Key {
	w := k.Config
	w.KID, w.Next.KID = k.kid, k.nextKID
	return w
}

// asWritten is a key without the kids that came with a key file.
func asWritten(c *config.Config, name string) config.Key {
	k := c.Keys[name]
	k.KID, k.Next.KID = configuredKID(c, name, "kid", k.KID), configuredKID(c, name, "next.kid", k.Next.KID)
	return k
}

// salt keeps sums of secrets from being of any use.
var salt = sync.OnceValue(func() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
})

// inlineSecrets sums up the secrets that are in the configuration itself.
func inlineSecrets(k config.Key) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, salt())
	for _, s := range []struct {
		secret config.Secret
		file   string
	}{{k.PrivateKey, k.PrivateKeyFile}, {k.Next.PrivateKey, k.Next.PrivateKeyFile}, {k.APIKey, k.APIKeyFile}, {k.Secret, k.SecretFile}} {
		if s.file == "" {
			h.Write([]byte(s.secret.Reveal()))
		}
		h.Write([]byte{0})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// retire ends what the key does by itself.
func (k *Key) retire() {
	if k.stop != nil {
		k.stop()
	}
	if k.unmeasure != nil {
		k.unmeasure()
	}
}

// life is that of Run.
type life struct {
	ctx   context.Context
	group *errgroup.Group
	from  <-chan struct{}
}

// Run renews the tokens of every key in the background, and reloads keys whose files change, until
// ctx ends. It asks for no token before from is closed, since the quota in which the request counts
// needs a connection. It asks for none of a key that nothing uses. Call it once.
func (k *Keys) Run(ctx context.Context, from <-chan struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	k.mu.Lock()
	all := slices.Collect(maps.Values(k.all))
	watchers, err := k.watchers(all)
	if err != nil {
		k.mu.Unlock()
		return err
	}
	k.life = &life{ctx, group, from}
	k.warnUnused()
	for i, one := range all {
		k.begin(one, watchers[i])
		k.renew(one, k.used[one.Name])
	}
	k.mu.Unlock()
	group.Go(func() error { // as long as this is there, more may be added
		<-ctx.Done()
		k.mu.Lock()
		defer k.mu.Unlock()
		k.life = nil
		return nil
	})
	return group.Wait()
}

// watchers of some keys, nil for those without files. k.mu is held.
func (k *Keys) watchers(of []*Key) ([]*filewatch.Watcher, error) {
	all := make([]*filewatch.Watcher, len(of))
	for i, one := range of {
		var err error
		if all[i], err = k.watcher(one); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// begin follows the files of a key. k.mu is held, and Run runs.
func (k *Keys) begin(one *Key, watcher *filewatch.Watcher) {
	ctx, cancel := context.WithCancel(k.life.ctx)
	one.stop = cancel
	if watcher != nil {
		k.life.group.Go(func() error { return watcher.Run(ctx) })
	}
}

// renew has the key's tokens renewed, or not any longer. k.mu is held, and begin was called.
func (k *Keys) renew(one *Key, used bool) {
	if used == (one.stopTokens != nil) {
		return
	}
	if !used {
		one.stopTokens()
		one.stopTokens = nil
		return
	}
	ctx, cancel := context.WithCancel(k.life.ctx)
	stop, from, before := one.stop, k.life.from, one.renewed
	renewed := make(chan struct{})
	one.stopTokens, one.renewed = cancel, renewed
	one.stop = func() { cancel(); stop() }
	k.life.group.Go(func() error {
		defer close(renewed)
		if before != nil {
			<-before
		}
		select {
		case <-from:
		case <-ctx.Done():
		}
		return one.Tokens.Run(ctx)
	})
}

// usedKeys are those that anything asks for tokens with by itself: see [config.Config.UsesKey].
func usedKeys(c *config.Config) map[string]bool {
	used := make(map[string]bool, len(c.Keys))
	for _, s := range c.Sources {
		used[s.Key] = true
	}
	if c.Reconcile.Enabled {
		used[c.Reconcile.Key] = true
	}
	return used
}

// warnUnused names the keys that nothing uses. A user-level key may be there for people alone,
// who ask with it for logs. k.mu is held.
func (k *Keys) warnUnused() {
	var names []string
	for name, one := range k.all {
		if !k.used[name] && one.Config.Type != config.KeyUser {
			names = append(names, name)
		}
	}
	if slices.Sort(names); len(names) > 0 {
		k.options.Logger.Warn("no source uses these keys, and no token is asked for with them: remove them, or name them in a source", "keys", names)
	}
}

// measure shows the state of a key's tokens.
func (k *Keys) measure(one *Key) (err error) {
	if k.metrics != nil {
		one.unmeasure, err = k.metrics.Add(one.Tokens)
	}
	return err
}
