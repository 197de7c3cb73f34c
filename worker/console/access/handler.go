package access

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
)

// Paths below the root of the console that a Guard answers itself.
const (
	signInPath    = "/sign-in"
	elsewherePath = "/sign-in/elsewhere"
	callbackPath  = "/sign-in/callback"
	signOutPath   = "/sign-out"
	// staticPath is shown to everybody.
	staticPath = "/static/"
)

// Wrap returns a handler that answers with next where somebody was let in, whom [From] finds in the
// context of the request, and signs people in and out below /sign-in and /sign-out. The URL of a
// request begins at the root of the console. What lies below /static/ is shown to everybody.
//
// Every answer has the headers of [Headers]. A change that another site asks for is refused, as is
// whoever comes over plain http from another machine.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Headers(w.Header())
		if why := g.unreachable(r); why != "" {
			g.refuse(w, r, http.StatusForbidden, "Not over this connection", why)
			return
		}
		if err := g.origins.Check(r); err != nil {
			g.refuse(w, r, http.StatusForbidden, "This came from another site", "Nothing was done: the request was made by a page of another site. Go to the console and do it there; where a proxy in front changes the host, console.public_url has to say how browsers call it.")
			return
		}
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, staticPath) && safe(r):
			next.ServeHTTP(w, r)
		case path == signInPath && g.way != "":
			g.signIn(w, r)
		case path == elsewherePath && g.cfg.Redirector != nil:
			g.sendAway(w, r)
		case path == callbackPath && g.cfg.Redirector != nil:
			g.takeBack(w, r)
		case path == signOutPath && g.way != "":
			g.signOut(w, r)
		default:
			g.letIn(w, r, next)
		}
	})
}

func safe(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// letIn answers with next where somebody is known who may see something.
func (g *Guard) letIn(w http.ResponseWriter, r *http.Request, next http.Handler) {
	who, ends, ok := g.who(w, r)
	if !ok {
		return
	}
	u := User{Name: who.Name, Grants: grants(g.cfg.Rules, who), Remote: g.remote(r), OverTLS: g.overTLS(r)}
	if !ends.IsZero() {
		u.SignOut = signOutPath[1:]
	}
	if !u.MayAny(See) {
		g.refusals.WarnContext(r.Context(), "console: somebody without a role was refused", "user", u.Name, "remote", u.Remote)
		g.page(w, r, http.StatusForbidden, page{Title: "No role", Text: []string{printable(who.Name) + " is known here, and may see nothing: that takes at least the role viewer, which no rule gives to them or to a group of theirs.",
			"Who runs the console gives roles: console.viewers, console.operators, console.revealers, console.admins."}, SignOut: u.SignOut != ""})
		return
	}
	ctx := With(r.Context(), u)
	if !ends.IsZero() { // what is shown live ends with the session
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, ends, errors.New("the session is over"))
		defer cancel()
	}
	next.ServeHTTP(w, r.WithContext(ctx))
}

// who finds who makes a request. Where it is nobody, it has answered. ends is zero where there is no
// session.
func (g *Guard) who(w http.ResponseWriter, r *http.Request) (who Identity, ends time.Time, ok bool) {
	if g.cfg.Authenticator != nil {
		who, err := g.ask(r)
		if err != nil || printable(who.Name) != who.Name || who.Name == "" {
			g.refusals.WarnContext(r.Context(), "console: nobody was let in", "remote", g.remote(r), "error", err)
			g.refuse(w, r, http.StatusForbidden, "Not let in", "The console could not tell who you are, and says why in its log. Come by the way that signs people in.")
			return Identity{}, time.Time{}, false
		}
		return who, time.Time{}, true
	}
	if r.Header.Get("Authorization") != "" && g.form != nil {
		who, ok := g.header(w, r)
		return who, time.Time{}, ok
	}
	if who, ends, ok := g.current(r); ok {
		return who, ends, true
	}
	g.nobody(w, r)
	return Identity{}, time.Time{}, false
}

var errPanic = errors.New("the Authenticator panicked")

// ask calls the Authenticator, whose panic lets nobody in.
func (g *Guard) ask(r *http.Request) (who Identity, err error) {
	defer func() {
		if recover() != nil { // what it says may be a secret
			g.refusals.ErrorContext(r.Context(), "console: the Authenticator panicked", "stack", string(debug.Stack()))
			who, err = Identity{}, errPanic
		}
	}()
	return g.cfg.Authenticator.Authenticate(r)
}

// nobody answers somebody who has not signed in, or whose session is over.
func (g *Guard) nobody(w http.ResponseWriter, r *http.Request) {
	switch {
	case WantsJSON(r) || r.Header.Get("Accept") == "text/event-stream" || !safe(r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="redox console"`) // Basic would have browsers ask by themselves
		g.refuse(w, r, http.StatusUnauthorized, "Not signed in", "Nothing was done: you are not signed in, or your session is over. Sign in and do it again.")
	case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") == "navigate":
		// A link of another site: the browser keeps the cookie back and sends it when our own page asks again.
		g.page(w, r, http.StatusOK, page{Title: "One moment", Text: []string{"The page opens by itself."}, Onward: inside(r, onward(strings.TrimPrefix(r.URL.RequestURI(), "/")))})
	default:
		redirect(w, inside(r, signInPath[1:])+"?next="+nextOf(r))
	}
}
