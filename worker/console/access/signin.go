package access

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// mostForm bounds what is read of a form to sign in, in bytes.
const mostForm = 8 << 10

// signIn shows the page to sign in, and takes what was filled in.
func (g *Guard) signIn(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && g.form != nil {
		g.signInPosted(w, r)
		return
	}
	if !safe(r) {
		g.notThisWay(w, r, "GET, HEAD, POST")
		return
	}
	next := onward(r.URL.Query().Get("next"))
	if _, _, ok := g.current(r); ok {
		redirect(w, inside(r, next))
		return
	}
	g.signInPage(w, r, http.StatusOK, next, "", "")
}

func (g *Guard) signInPosted(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		g.refuse(w, r, http.StatusBadRequest, "Not understood", "What came is no form of this page, or is too long.")
		return
	}
	name, next := strings.TrimSpace(r.PostForm.Get("name")), onward(r.PostForm.Get("next"))
	secret := r.PostForm.Get("secret")
	if !g.form.named() { // a token is copied; a password may begin or end with a blank
		secret = strings.TrimSpace(secret)
	}
	who, wait, ok := g.try(r, name, secret)
	switch {
	case wait > 0:
		g.slowed(w, r, wait)
		g.signInPage(w, r, http.StatusTooManyRequests, next, name, "Too many tries at once, or from where you are: nothing was looked at. Try again in "+seconds(wait)+".")
	case !ok:
		g.refused(r, name)
		wrong := "That is not a token of this console."
		if g.form.named() {
			wrong = "Name and password do not belong together."
		}
		g.signInPage(w, r, http.StatusForbidden, next, name, wrong)
	default:
		g.welcome(w, r, who, next)
	}
}

// welcome begins a session after a form.
func (g *Guard) welcome(w http.ResponseWriter, r *http.Request, who Identity, next string) {
	mark, _ := g.form.mark(who.Name)
	if !g.begin(w, r, who, mark) {
		g.refuse(w, r, http.StatusForbidden, "Not signed in", tooMuch)
		return
	}
	name := who.Name
	if !g.form.named() {
		name = ""
	}
	g.remember(w, r, name)
	g.cfg.Logger.InfoContext(r.Context(), "console: somebody signed in", "user", who.Name, "remote", g.remote(r))
	redirect(w, inside(r, next))
}

const tooMuch = "Your name and groups are more than a browser keeps. Have fewer groups named in the rules of the console."

// refused logs a wrong secret. A name that nobody has may be a password in the wrong place.
func (g *Guard) refused(r *http.Request, name string) {
	if _, there := g.form.mark(name); !there {
		name = "unknown"
	}
	g.refusals.WarnContext(r.Context(), "console: a wrong secret was refused", "user", name, "remote", g.remote(r))
}

func (g *Guard) slowed(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	g.refusals.WarnContext(r.Context(), "console: too many tries of secrets: one was not looked at", "remote", g.remote(r), "wait", wait)
}

func seconds(d time.Duration) string {
	if n := int((d + time.Second - 1) / time.Second); n != 1 {
		return strconv.Itoa(n) + " seconds"
	}
	return "one second"
}

// header takes a secret that a request brings by itself, as scripts do.
func (g *Guard) header(w http.ResponseWriter, r *http.Request) (Identity, bool) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var name, secret string
	switch {
	case strings.EqualFold(scheme, "Bearer") && !g.form.named():
		secret = strings.TrimSpace(rest)
	case strings.EqualFold(scheme, "Basic") && g.form.named():
		text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
		if err != nil || len(text) > mostForm {
			text = nil
		}
		name, secret, _ = strings.Cut(string(text), ":")
		if _, there := g.form.mark(name); there && g.passed.has(name, secret) {
			return Identity{Name: name}, true
		}
	}
	who, wait, ok := g.try(r, name, secret)
	switch {
	case wait > 0:
		g.slowed(w, r, wait)
		g.refuse(w, r, http.StatusTooManyRequests, "Too many tries", "Too many tries at once, or from where you are: nothing was looked at. Try again in "+seconds(wait)+".")
	case !ok:
		g.refused(r, name)
		g.refuse(w, r, http.StatusUnauthorized, "Not let in", "What the request brings in its header Authorization opens nothing here.")
	case g.form.named():
		g.passed.add(name, secret)
	}
	return who, ok
}

// signOut ends the session of a browser.
func (g *Guard) signOut(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		g.notThisWay(w, r, "POST")
		return
	}
	if who, _, ok := g.current(r); ok {
		g.cfg.Logger.InfoContext(r.Context(), "console: somebody signed out", "user", who.Name, "remote", g.remote(r))
	}
	g.setCookie(w, r, "", "", -1, http.SameSiteStrictMode)
	w.Header().Set("Clear-Site-Data", `"cache"`)
	redirect(w, inside(r, signInPath[1:]))
}

func (g *Guard) notThisWay(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	g.refuse(w, r, http.StatusMethodNotAllowed, "Not this way", "This address does not take "+printable(r.Method)+".")
}

// nextOf is where the browser is to go after signing in, for a query.
func nextOf(r *http.Request) string {
	return url.QueryEscape(onward(strings.TrimPrefix(r.URL.RequestURI(), "/")))
}

// onward is a path and query below the root of the console, or "": whatever else an address could
// lead to, this leads there.
func onward(to string) string {
	u, err := url.Parse("/" + to)
	if err != nil || u.Host != "" || u.Scheme != "" || len(to) > 1024 || strings.ContainsAny(to, "\\#") || strings.ContainsFunc(u.RawQuery, notInQuery) || strings.Contains(u.Path, "//") || strings.HasPrefix(u.Path, "/sign-") {
		return ""
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "." || part == ".." {
			return ""
		}
	}
	return strings.TrimPrefix(u.RequestURI(), "/")
}

// notInQuery reports whether a letter of a query should have been written another way.
func notInQuery(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"<>^`{|}", c) }

// Inside is a reference from the page of a request to a path and query below the root of the console,
// whatever a form or an address says that the path is: what leads elsewhere leads to the root.
func Inside(r *http.Request, to string) string { return inside(r, onward(to)) }

// inside is a reference to a path and query below the root of the console. It begins with a dot, so
// that no path is taken for a scheme.
func inside(r *http.Request, to string) string { return Relative(r, "") + to }

// redirect sends the browser to a reference that is relative to the request.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
