package auth

import (
	"errors"
	"fmt"
	"sync"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

// keyPair is the current and the next key, and which of them is in use. The
// choice is kept until that key is refused in its turn, or the pair is replaced.
type keyPair struct {
	mu    sync.Mutex
	keys  [2]Key // current, next; next may be zero
	inUse int
}

// get returns the pair and the index of the key in use.
func (p *keyPair) get() ([2]Key, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys, p.inUse
}

// set replaces the pair and starts with its current key, unless the one in use
// is still in the pair: then that one stays in use.
func (p *keyPair) set(current, next Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := p.keys[p.inUse]
	p.keys, p.inUse = [2]Key{current, next}, 0
	if !used.IsZero() && sameKey(used, next) && !sameKey(used, current) {
		p.inUse = 1
	}
}

// use switches to another key of the pair and reports whether that changed
// anything; the pair may have been replaced meanwhile.
func (p *keyPair) use(keys [2]Key, i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.keys != keys || p.inUse == i {
		return false
	}
	p.inUse = i
	return true
}

func sameKey(a, b Key) bool { return a.ID() == b.ID() && a.Thumbprint() == b.Thumbprint() }

// checkPair says what is wrong with a current and a next key. Its error has no
// package prefix.
func checkPair(current, next Key, only Algorithm) error {
	bad := []error{checkUsable("the key", current, only)}
	if current.IsZero() {
		bad[0] = errors.New("the private key is missing")
	}
	if !next.IsZero() {
		bad = append(bad, checkUsable("the next key", next, only))
		if current.ID() == next.ID() && next.ID() != "" && !sameKey(current, next) {
			bad = append(bad, fmt.Errorf("two different keys have the kid %q: give the next key its own", answer.Clip(next.ID(), 64)))
		}
	}
	return errors.Join(bad...)
}

func checkUsable(what string, k Key, only Algorithm) error {
	switch {
	case k.ID() == "":
		return fmt.Errorf("%s has no kid: set the one under which its public half is registered", what)
	case only != "" && k.Algorithm() != only:
		return fmt.Errorf("%s signs %s but the algorithm is set to %s: change one of the two", what, k.Algorithm(), only)
	}
	return nil
}

// refusedKey reports whether another key may do better.
func refusedKey(err error) bool {
	e, ok := errors.AsType[*TokenError](err)
	return ok && e.keyRefused()
}

// Keys returns the current and the next key, the latter only when there is one:
// what a JWKS shows during a rotation.
func (o *OAuth) Keys() []Key {
	keys, _ := o.keys.get()
	if keys[1].IsZero() {
		return []Key{keys[0]}
	}
	return []Key{keys[0], keys[1]}
}

// KeyInUse returns the key that signs at present: the current one, or the next
// one after the server refused the current.
func (o *OAuth) KeyInUse() Key {
	keys, i := o.keys.get()
	return keys[i]
}

// SetKeys replaces both keys, next may be the zero Key. It takes effect with the
// next request; the old keys are held no longer. On an error the old pair stays.
// Call [Cache.Renew] afterwards to try the new keys at once.
func (o *OAuth) SetKeys(current, next Key) error {
	if err := checkPair(current, next, o.only); err != nil {
		return fmt.Errorf("auth: new keys: %w", err)
	}
	o.keys.set(current, next)
	return nil
}
