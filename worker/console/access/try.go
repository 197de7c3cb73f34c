package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// busyWait is how long somebody waits while others' secrets are looked at.
const busyWait = 5 * time.Second

// knownSuffix is that of the cookie of a browser in which somebody has signed in.
const knownSuffix = "-known"

// knownFor is how long a browser is remembered.
const knownFor = 90 * 24 * time.Hour

// browser is what that cookie says.
type browser struct {
	ID     string `json:"d"`
	Name   string `json:"n"`
	Issued int64  `json:"i"`
}

// remember makes the browser one in which somebody has signed in.
func (g *Guard) remember(w http.ResponseWriter, r *http.Request, name string) {
	b := browser{ID: rand.Text(), Name: name, Issued: time.Now().Unix()}
	g.setCookie(w, r, knownSuffix, g.sealed(r, knownSuffix, b), knownFor, http.SameSiteStrictMode)
}

// try looks whose secret it is. A positive wait means that it was not looked at.
//
// A token is too long to be guessed: the right one is always taken, and only wrong ones are slowed. Of
// passwords any is slowed that comes from where many wrong ones came from.
func (g *Guard) try(r *http.Request, name, secret string) (who Identity, wait time.Duration, ok bool) {
	if !g.form.named() {
		if who, ok = g.form.check("", secret); ok {
			return who, 0, true
		}
		name = ""
	}
	at := placeOf(g.client(r))
	sum := sha256.Sum256([]byte(name))
	place, everywhere := at+" "+string(sum[:16]), at
	var b browser
	hashing := g.hashing
	if g.cookie(r, knownSuffix, &b) && (b.Name == name || name == "") && time.Since(time.Unix(b.Issued, 0)) < knownFor {
		place, everywhere, hashing = "browser "+b.ID, "", g.reserved
	}
	if g.tries.knows(place) {
		everywhere = "" // one name more was counted already
	}
	if everywhere != "" {
		if wait = g.tries.begin(everywhere, wideTries); wait > 0 {
			return Identity{}, wait, false
		}
	}
	if wait = g.tries.begin(place, freeTries); wait > 0 {
		return Identity{}, wait, false
	}
	if !g.form.named() {
		return Identity{}, 0, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), busyWait)
	defer cancel()
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
	case <-ctx.Done(): // it does not count: nothing was learnt by it
		g.tries.undo(place)
		g.tries.undo(everywhere)
		return Identity{}, busyWait, false
	}
	if who, ok = g.form.check(name, secret); ok {
		g.tries.right(place)
		g.tries.undo(everywhere)
	}
	return who, 0, ok
}

const (
	// passedFor is how long a name and password in a header are not looked at again: each look is slow
	// on purpose.
	passedFor = time.Minute
	// mostPassed bounds how many are remembered.
	mostPassed = 1000
)

// passed remembers secrets that were right, by a hash that is worth nothing elsewhere. It is safe for
// concurrent use.
type passed struct {
	key   []byte
	mu    sync.Mutex
	until map[[sha256.Size]byte]time.Time
}

func newPassed() *passed {
	return &passed{key: []byte(rand.Text()), until: map[[sha256.Size]byte]time.Time{}}
}

func (p *passed) sum(name, secret string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, p.key)
	_, _ = mac.Write([]byte(name + "\x00" + secret))
	return [sha256.Size]byte(mac.Sum(nil))
}

func (p *passed) has(name, secret string) bool {
	sum := p.sum(name, secret)
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.until[sum])
}

func (p *passed) add(name, secret string) {
	sum := p.sum(name, secret)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.until) >= mostPassed {
		clear(p.until)
	}
	p.until[sum] = time.Now().Add(passedFor)
}
