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
func (p *keyPair) set(pair [2]Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := p.keys[p.inUse]
	p.keys, p.inUse = pair, 0
	if !used.IsZero() && sameKey(used, pair[1]) && !sameKey(used, pair[0]) {
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

// newPair returns a current and a next key as they sign with an algorithm, or what is
// wrong with them. Its error has no package prefix.
func newPair(current, next Key, only Algorithm) ([2]Key, error) {
	if current.IsZero() {
		return [2]Key{}, errors.New("the private key is missing")
	}
	var bad []error
	pair := [2]Key{current, next}
	for i, what := range [2]string{"the key", "the next key"} {
		if pair[i].IsZero() {
			continue
		}
		var err error
		pair[i], err = usable(what, pair[i], only)
		bad = append(bad, err)
	}
	if !next.IsZero() && current.ID() == next.ID() && next.ID() != "" && !sameKey(current, next) {
		bad = append(bad, fmt.Errorf("two different keys have the kid %q: give the next key its own", answer.Clip(next.ID(), 64)))
	}
	return pair, errors.Join(bad...)
}

// usable returns a key as it signs with an algorithm, or with its own where that is "".
func usable(what string, k Key, only Algorithm) (Key, error) {
	if k.ID() == "" {
		return k, fmt.Errorf("%s has no kid: set the one under which its public half is registered", what)
	}
	if s, known := schemes[only]; known && !s.fits(k.Public()) {
		return k, pairingError(what, k, only)
	} else if known {
		return k.With(only)
	}
	return k, unnamed(what, k)
}

// otherMayDo reports whether another key may do better.
func otherMayDo(err error) bool {
	if _, ok := errors.AsType[*SignError](err); ok {
		return true
	}
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

// SetKeys replaces both keys. next may be the zero Key. The change takes effect with the next
// request, and the old keys are dropped. On an error the old pair stays. Call [Cache.Renew]
// afterwards to try the new keys at once.
func (o *OAuth) SetKeys(current, next Key) error {
	pair, err := newPair(current, next, o.only)
	if err != nil {
		return fmt.Errorf("auth: new keys: %w", err)
	}
	o.keys.set(pair)
	return nil
}
