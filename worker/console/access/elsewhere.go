package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// awayFor is how long somebody may take to sign in elsewhere.
const awayFor = 10 * time.Minute

// askTimeout bounds what is asked of the other side.
const askTimeout = 20 * time.Second

// away is what the browser keeps while it is elsewhere.
type away struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"x,omitempty"`
	Issued   int64  `json:"i"`
}

// mostAway bounds how many sign-ins a browser may have under way: a request that brings more cookies
// than a server reads is refused.
const mostAway = 4

// awaySuffix is that of the cookie of one sign-in: several may be under way at once.
func awaySuffix(state string) string { return awayInfix + state[:8] }

const awayInfix = "-away-"

// stateLength is that of a State.
const stateLength = 43

func random() string {
	text := make([]byte, 32)
	_, _ = rand.Read(text) // never fails
	return base64.RawURLEncoding.EncodeToString(text)
}

func (g *Guard) callback() string { return g.cfg.PublicURL + callbackPath }

// sendAway sends the browser to where people sign in.
func (g *Guard) sendAway(w http.ResponseWriter, r *http.Request) {
	if !safe(r) {
		g.notThisWay(w, r, "GET, HEAD")
		return
	}
	a := away{State: random(), Nonce: random(), Verifier: random(), Next: onward(r.URL.Query().Get("next")), Issued: time.Now().Unix()}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	to, err := g.begins(ctx, a)
	if err != nil {
		g.refusals.ErrorContext(r.Context(), "console: nobody can sign in", "error", err)
		g.refuse(w, r, http.StatusBadGateway, "Nobody can sign in now", "Where people sign in does not answer as it should; the log of the console says why. Try again in a minute.")
		return
	}
	g.forgetAway(w, r)
	suffix := awaySuffix(a.State)
	// Lax: the browser comes back by a link of another site.
	g.setCookie(w, r, suffix, g.sealed(r, suffix, a), awayFor, http.SameSiteLaxMode)
	redirect(w, to)
}

// forgetAway has the browser forget the oldest sign-ins that it has under way, so that one more has room.
func (g *Guard) forgetAway(w http.ResponseWriter, r *http.Request) {
	before, after, _ := strings.Cut(g.cookieName(r, awayInfix+"?"), "?")
	var begun []string
	for _, c := range r.Cookies() { // the oldest come first
		if name, ok := strings.CutPrefix(c.Name, before); ok && strings.HasSuffix(name, after) {
			begun = append(begun, awayInfix+strings.TrimSuffix(name, after))
		}
	}
	for _, suffix := range begun[:max(0, len(begun)-mostAway+1)] {
		g.setCookie(w, r, suffix, "", -1, http.SameSiteLaxMode)
	}
}

// takeBack takes a browser back from where it signed in. Each state counts once.
func (g *Guard) takeBack(w http.ResponseWriter, r *http.Request) {
	if !safe(r) {
		g.notThisWay(w, r, "GET, HEAD")
		return
	}
	const again = "Sign in again."
	answer := r.URL.Query()
	state := answer.Get("state")
	var a away
	if len(state) != stateLength || !g.cookie(r, awaySuffix(state), &a) || subtle.ConstantTimeCompare([]byte(a.State), []byte(state)) != 1 {
		g.refuse(w, r, http.StatusForbidden, "Not signed in", "This browser did not begin this sign-in, or has ended it already. "+again)
		return
	}
	g.setCookie(w, r, awaySuffix(state), "", -1, http.SameSiteLaxMode)
	if time.Since(time.Unix(a.Issued, 0)) > awayFor || !g.used.first(state) {
		g.refuse(w, r, http.StatusForbidden, "Not signed in", "This sign-in has ended already, or took more than ten minutes. "+again)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	who, err := g.finishes(ctx, r, a)
	if err != nil || who.Name == "" || printable(who.Name) != who.Name {
		g.refusals.WarnContext(r.Context(), "console: a sign-in failed", "remote", g.remote(r), "error", err)
		g.refuse(w, r, http.StatusForbidden, "Not signed in", "Where people sign in did not say who you are as it should; the log of the console says why. "+again)
		return
	}
	if !g.begin(w, r, who, "") {
		g.refuse(w, r, http.StatusForbidden, "Not signed in", tooMuch)
		return
	}
	g.cfg.Logger.InfoContext(r.Context(), "console: somebody signed in", "user", who.Name, "remote", g.remote(r))
	// A redirect would still be the other site's, and the browser keep the cookie back.
	g.page(w, r, http.StatusOK, page{Title: "Signed in", Text: []string{"You are signed in. The page opens by itself."}, Onward: inside(r, a.Next)})
}

// begins calls the Redirector, whose panic is an error.
func (g *Guard) begins(ctx context.Context, a away) (to string, err error) {
	defer g.recovered(ctx, &err)
	return g.cfg.Redirector.Begin(ctx, g.callback(), a.State, a.Nonce, a.Verifier)
}

// finishes does, too.
func (g *Guard) finishes(ctx context.Context, r *http.Request, a away) (who Identity, err error) {
	defer g.recovered(ctx, &err)
	return g.cfg.Redirector.Finish(ctx, g.callback(), r.URL.Query(), a.Nonce, a.Verifier)
}

func (g *Guard) recovered(ctx context.Context, err *error) {
	if recover() != nil { // what it says may be a secret
		g.refusals.ErrorContext(ctx, "console: signing in panicked", "stack", string(debug.Stack()))
		*err = errPanic
	}
}

// mostStates bounds how many used states are remembered.
const mostStates = 10_000

// usedStates remembers states for as long as they could count. The browser has forgotten its cookie by
// then, and where people sign in takes a code once: this is for a copy of both. It is safe for
// concurrent use.
type usedStates struct {
	mu     sync.Mutex
	states map[string]time.Time
}

func newUsedStates() *usedStates { return &usedStates{states: map[string]time.Time{}} }

// first reports whether a state comes for the first time.
func (u *usedStates) first(state string) bool {
	now := time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, used := u.states[state]; used {
		return false
	}
	for s, at := range u.states {
		if len(u.states) < mostStates {
			break
		}
		if delete(u.states, s); now.Sub(at) <= awayFor {
			break // that many people sign in at once: one is forgotten early
		}
	}
	u.states[state] = now
	return true
}
