package access

import (
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"
)

// session is what the cookie says of who signed in. Roles are not in it: those of the rules of today
// count.
type session struct {
	Name   string   `json:"n"`
	Groups []string `json:"g,omitempty"`
	// Way is how they signed in.
	Way string `json:"w"`
	// Mark is of the credential: with another password or token the session is over.
	Mark string `json:"m,omitempty"`
	// Issued is in seconds since 1970.
	Issued int64 `json:"i"`
}

// clockSkew is how far the clocks of replicas may be apart.
const clockSkew = time.Minute

// cookieName is that of a cookie of the console. Over TLS its prefix has the browser keep it to this
// host and to https; consoles whose PublicURL has another path, and on other ports of this machine,
// have names of their own.
func (g *Guard) cookieName(r *http.Request, suffix string) string {
	name := "redox" + g.slug + suffix
	if g.overTLS(r) {
		return "__Host-" + name
	}
	if _, port, err := net.SplitHostPort(r.Host); err == nil && strings.Trim(port, "0123456789") == "" {
		name += "-" + port
	}
	return name
}

// setCookie has the browser keep a value; an age below 0 has it forget it.
func (g *Guard) setCookie(w http.ResponseWriter, r *http.Request, suffix, value string, age time.Duration, site http.SameSite) {
	c := &http.Cookie{Name: g.cookieName(r, suffix), Value: value, Path: "/", MaxAge: int(age / time.Second), HttpOnly: true, Secure: g.overTLS(r), SameSite: site}
	if age < 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie opens a cookie of the console into a value.
func (g *Guard) cookie(r *http.Request, suffix string, into any) bool {
	name := g.cookieName(r, suffix)
	for _, c := range r.CookiesNamed(name) {
		if payload, ok := g.seal.open(name, c.Value); ok && json.Unmarshal(payload, into) == nil {
			return true
		}
	}
	return false
}

// sealed makes the value of a cookie.
func (g *Guard) sealed(r *http.Request, suffix string, value any) string {
	payload, err := json.Marshal(value)
	if err != nil { // texts and numbers alone
		return ""
	}
	return g.seal.seal(g.cookieName(r, suffix), payload)
}

// begin gives a browser a session. It reports whether the browser can keep it.
func (g *Guard) begin(w http.ResponseWriter, r *http.Request, who Identity, mark string) bool {
	s := session{Name: who.Name, Groups: known(g.cfg.Rules, who.Groups), Way: g.way, Mark: mark, Issued: time.Now().Unix()}
	value := g.sealed(r, "", s)
	if len(value) > maxSealed-256 { // the name and the attributes count
		return false
	}
	g.setCookie(w, r, "", value, g.cfg.Session, http.SameSiteStrictMode)
	return true
}

// current returns the session of a request, and when it ends.
func (g *Guard) current(r *http.Request) (who Identity, ends time.Time, ok bool) {
	var s session
	if g.way == "" || !g.cookie(r, "", &s) || s.Way != g.way {
		return Identity{}, time.Time{}, false
	}
	issued := time.Unix(s.Issued, 0)
	ends = issued.Add(g.cfg.Session)
	if time.Until(issued) > clockSkew || !time.Now().Before(ends) {
		return Identity{}, time.Time{}, false
	}
	if g.form != nil {
		if mark, there := g.form.mark(s.Name); !there || mark != s.Mark {
			return Identity{}, time.Time{}, false
		}
	}
	return Identity{Name: s.Name, Groups: s.Groups}, ends, true
}
