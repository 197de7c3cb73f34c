package access

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestSignIn_ByToken(t *testing.T) {
	t.Parallel()
	all, made := tokens(t, "ann", "root")
	r := newRig(t, Config{Tokens: all, Rules: rules(t)})
	w := r.do(call{path: "/dead?source=clinic-a"})
	status(t, w, http.StatusSeeOther)
	if to := w.Header().Get("Location"); to != "./sign-in?next=dead%3Fsource%3Dclinic-a" {
		t.Errorf("led to %q", to)
	}
	status(t, r.do(call{path: "/sign-in?next=dead"}), http.StatusOK, `value="dead"`, "Token", `action="./sign-in"`)
	status(t, r.signIn("", made["ann"]+"x", call{}), http.StatusForbidden, "not a token")
	w = r.signIn("", " "+made["ann"]+"\n", call{})
	status(t, w, http.StatusSeeOther)
	if to := w.Header().Get("Location"); to != "./dead?source=clinic-a" {
		t.Errorf("led to %q", to)
	}
	session := sessionOf(t, w)
	if session.Name != "redox-8467" || session.Secure || !session.HttpOnly || session.SameSite != http.SameSiteStrictMode || session.MaxAge != 8*3600 || session.Path != "/" {
		t.Errorf("the cookie %+v", session)
	}
	mine := []*http.Cookie{session}
	status(t, r.do(call{path: "/x", cookies: mine}), http.StatusOK, "hello ann")
	w = r.do(call{method: "POST", path: "/sign-out", cookies: mine})
	status(t, w, http.StatusSeeOther)
	if c := sessionOf(t, w); c.Name != session.Name || c.MaxAge != -1 || c.Value != "" {
		t.Errorf("signed out with %+v", c)
	}
	status(t, r.do(call{path: "/x", header: map[string]string{"Authorization": "Bearer " + made["root"], "Accept": "application/json"}}), http.StatusOK, "hello root")
	status(t, r.do(call{path: "/x", header: map[string]string{"Authorization": "Bearer nonsense", "Accept": "application/json"}}), http.StatusUnauthorized, `"status":401`)
	for name, token := range made {
		if strings.Contains(r.log.String(), token) || strings.Contains(r.log.String(), HashToken(token)) {
			t.Errorf("the token of %s was logged", name)
		}
	}
}

func TestSignIn_ByPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": "s3cret-of-ann"}), Rules: rules(t), BehindProxy: true, PublicURL: "https://ops.example/ops/redox"})
	status(t, r.signIn("ann", "wrong", call{}), http.StatusForbidden, "do not belong together", `value="ann"`)
	status(t, r.signIn("s3cret-of-ann", "ann", call{}), http.StatusForbidden)
	status(t, r.signIn("ann", "s3cret-of-ann"+strings.Repeat("x", 80), call{}), http.StatusForbidden)
	if strings.Contains(r.log.String(), "s3cret") {
		t.Errorf("a password was logged: %s", r.log)
	}
	session := sessionOf(t, r.signIn("ann", "s3cret-of-ann", call{}))
	if session.Name != "__Host-redox-ops-redox" || !session.Secure || session.Path != "/" || session.Domain != "" {
		t.Errorf("the cookie %+v", session)
	}
	status(t, r.do(call{cookies: []*http.Cookie{session}, path: "/"}), http.StatusOK, "hello ann")
	blank := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": " blank "}), Rules: rules(t)})
	status(t, blank.signIn("ann", " blank ", call{}), http.StatusSeeOther)
	for range 20 { // one look at the hash serves a script for a minute
		status(t, r.do(call{path: "/", header: map[string]string{"Authorization": "Basic YW5uOnMzY3JldC1vZi1hbm4="}}), http.StatusOK, "hello ann")
	}
}

// A session ends with the credential that it was begun with, with its time, and with its key.
func TestSession_Ends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		users := map[string]string{"ann": "a", "root": "r"}
		before := passwords(t, users)
		r := newRig(t, Config{Passwords: before, Rules: rules(t), Session: time.Hour})
		mine := []*http.Cookie{sessionOf(t, r.signIn("ann", "a", call{}))}
		bubble.Sleep(time.Hour - time.Second)
		status(t, r.do(call{path: "/", cookies: mine}), http.StatusOK, "hello ann")
		for what, changed := range map[string]Config{
			"another password":    {Passwords: passwords(t, map[string]string{"ann": "b"})},
			"ann is gone":         {Passwords: passwords(t, map[string]string{"root": "r"})},
			"another key":         {Passwords: before, SessionKeys: []secret.Text{secret.New(strings.Repeat("x", 32))}},
			"another way":         {Tokens: first(tokens(t, "ann"))},
			"below another path":  {Passwords: before, PublicURL: "http://localhost:8467/other"},
			"a shorter time":      {Passwords: before, Session: time.Minute},
			"each request is new": {Authenticator: Local{Name: "local"}},
		} {
			changed.Rules = rules(t)
			if w := newRig(t, changed).do(call{path: "/", cookies: mine}); strings.Contains(w.Body.String(), "hello ann") {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
		}
		fresh := newRig(t, Config{Passwords: before, Rules: rules(t), SessionKeys: []secret.Text{secret.New(strings.Repeat("n", 32)), testKey}, Session: time.Hour})
		status(t, fresh.do(call{path: "/", cookies: mine}), http.StatusOK, "hello ann") // the old key still opens
		status(t, r.do(call{path: "/", cookies: []*http.Cookie{sessionOf(t, fresh.signIn("root", "r", call{}))}}), http.StatusSeeOther)
		bubble.Sleep(time.Second)
		status(t, r.do(call{path: "/", cookies: mine}), http.StatusSeeOther)
		status(t, r.do(call{path: "/", method: "POST", cookies: mine}), http.StatusUnauthorized, "Sign in")
		status(t, r.do(call{path: "/", cookies: mine, header: map[string]string{"Accept": "text/event-stream"}}), http.StatusUnauthorized)
	})
}

func first[A, B any](a A, _ B) A { return a }

// A page that somebody watches ends with the session.
func TestSession_EndsWhatIsShownLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{Passwords: passwords(t, map[string]string{"ann": "a"}), Rules: rules(t)})
		mine := sessionOf(t, r.signIn("ann", "a", call{}))
		begun := time.Now()
		r.h = r.g.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		r.do(call{path: "/events", cookies: []*http.Cookie{mine}})
		if took := time.Since(begun); took > 8*time.Hour || took < 8*time.Hour-time.Second {
			t.Errorf("it was live for %s", took)
		}
	})
}

// No cookie that somebody made, changed, or has for another purpose is one of a session.
func TestSession_Forgeries(t *testing.T) {
	t.Parallel()
	all, made := tokens(t, "ann", "root")
	r := newRig(t, Config{Tokens: all, Rules: rules(t)})
	w := r.signIn("", made["ann"], call{})
	session := sessionOf(t, w)
	n := 0
	try := func(what, name, value string) {
		n++
		if w := r.do(call{path: "/", cookies: []*http.Cookie{{Name: name, Value: value}}}); w.Code != http.StatusSeeOther {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	for i := range session.Value {
		changed := []byte(session.Value)
		changed[i] ^= 1
		try("changed", session.Name, string(changed))
	}
	for _, cut := range []int{0, 1, 16, len(session.Value) - 1} {
		try("cut", session.Name, session.Value[:cut])
	}
	if _, ok := r.g.seal.open(session.Name+"-known", session.Value); ok {
		t.Error("what is sealed for one purpose opens for another")
	}
	try("longer", session.Name, session.Value+"A")
	try("much longer", session.Name, session.Value+strings.Repeat("A", 1<<14))
	try("of a stronger name", "__Host-redox", session.Value)
	for _, c := range w.Result().Cookies() {
		if c.Name != session.Name {
			try("of another purpose", session.Name, c.Value)
		}
	}
	old := newRig(t, Config{Tokens: all, Rules: rules(t), SessionKeys: []secret.Text{secret.New(strings.Repeat("o", 32))}})
	try("of another key", session.Name, sessionOf(t, old.signIn("", made["root"], call{})).Value)
	// One that lies in front of the right one does not hide it.
	status(t, r.do(call{path: "/", cookies: []*http.Cookie{{Name: session.Name, Value: "x"}, session}}), http.StatusOK, "hello ann")
	t.Logf("%d forgeries", n)
}
