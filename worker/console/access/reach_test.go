package access

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// A change that a page of another site asks for is refused, whatever the browser brings with it.
func TestGuard_RefusesOtherSites(t *testing.T) {
	t.Parallel()
	all, made := tokens(t, "ann")
	r := newRig(t, Config{Tokens: all, Rules: rules(t), PublicURL: "https://ops.example/redox", BehindProxy: true})
	mine := []*http.Cookie{sessionOf(t, r.signIn("", made["ann"], call{}))}
	for _, c := range []struct {
		header map[string]string
		method string
		want   int
	}{
		{map[string]string{"Sec-Fetch-Site": "cross-site"}, "POST", 403},
		{map[string]string{"Sec-Fetch-Site": "same-site"}, "POST", 403}, // another host of the hospital
		{map[string]string{"Sec-Fetch-Site": "cross-site"}, "DELETE", 403},
		{map[string]string{"Origin": "https://evil.example"}, "POST", 403},
		{map[string]string{"Origin": "null"}, "POST", 403},
		{map[string]string{"Origin": "http://ops.example"}, "POST", 403},
		{map[string]string{"Origin": "https://ops.example"}, "POST", 200}, // the proxy has changed the host
		{map[string]string{"Sec-Fetch-Site": "same-origin"}, "POST", 200},
		{map[string]string{"Sec-Fetch-Site": "none"}, "POST", 200},
		{nil, "POST", 200}, // no browser
		{map[string]string{"Sec-Fetch-Site": "cross-site"}, "GET", 200},
	} {
		for _, path := range []string{"/dead/replay", "/sign-in", "/sign-out"} {
			w := r.do(call{method: c.method, path: path, header: c.header, cookies: mine})
			if refused := w.Code == 403 && strings.Contains(w.Body.String(), "another site"); refused != (c.want == 403) {
				t.Errorf("%s %s %v: %d %s", c.method, path, c.header, w.Code, w.Body)
			}
		}
	}
	// A link in a mail finds the session, by a page of our own.
	w := r.do(call{path: "/dead?x=%22%3E", header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}})
	status(t, w, http.StatusOK, `content="0;url=./dead?x=%22%3E"`)
	status(t, r.do(call{path: "/dead", header: map[string]string{"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}}), http.StatusSeeOther)
}

// Every answer has the headers, those of refusals and of what lies open as well.
func TestGuard_HeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	all, _ := tokens(t, "ann")
	r := newRig(t, Config{Tokens: all, Rules: rules(t)})
	for _, c := range []call{{path: "/"}, {path: "/sign-in"}, {path: "/static/console.css"}, {path: "/", host: "evil.example"}, {path: "/", method: "POST", header: map[string]string{"Sec-Fetch-Site": "cross-site"}}, {path: "/", header: map[string]string{"Accept": "application/json"}}} {
		h := r.do(c).Header()
		for name, want := range map[string]string{"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"} {
			if h.Get(name) != want {
				t.Errorf("%+v: %s is %q", c, name, h.Get(name))
			}
		}
	}
	if strings.Contains(contentPolicy, "unsafe") {
		t.Error("the policy lets in what stands in a page")
	}
}

// Over plain http only this machine is answered, unless a proxy with TLS is in front.
func TestGuard_PlainHTTP(t *testing.T) {
	t.Parallel()
	all, _ := tokens(t, "ann")
	open, behind := newRig(t, Config{Tokens: all, Rules: rules(t)}), newRig(t, Config{Tokens: all, Rules: rules(t), BehindProxy: true})
	for _, c := range []struct {
		call
		open, behind bool
	}{
		{call{path: "/sign-in"}, true, true},
		{call{path: "/sign-in", from: "[::1]:1", host: "[::1]:8467"}, true, true},
		{call{path: "/sign-in", from: "10.0.0.9:1", host: "ops.example"}, false, true},
		{call{path: "/sign-in", host: "evil.example:8467"}, false, true}, // a name that leads to this machine
		{call{path: "/sign-in", host: "localhost.evil.example"}, false, true},
		{call{path: "/sign-in", header: map[string]string{"X-Forwarded-For": "10.0.0.9"}}, false, true},
		{call{path: "/sign-in", header: map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.9"}}, false, true},
		{call{path: "/sign-in", header: map[string]string{"X-Forwarded-Proto": "http"}}, false, false},
		{call{path: "/sign-in", header: map[string]string{"X-Forwarded-Proto": "https, http"}}, false, false},
	} {
		for r, want := range map[*rig]bool{open: c.open, behind: c.behind} {
			if w := r.do(c.call); (w.Code == http.StatusOK) != want {
				t.Errorf("%+v: %d %s", c.call, w.Code, w.Body)
			}
		}
	}
}

// Whoever is on this machine is let in without signing in, and nobody else.
func TestLocal(t *testing.T) {
	t.Parallel()
	r := newRig(t, Config{Authenticator: Local{Name: "local"}, Rules: []Rule{{Role: Admin, Name: "*", Sources: []string{"*"}}}})
	status(t, r.do(call{path: "/x"}), http.StatusOK, "hello local")
	for _, c := range []call{{from: "10.0.0.9:1"}, {from: "10.0.0.9:1", host: "localhost"}, {host: "evil.example"}, {header: map[string]string{"X-Forwarded-For": "127.0.0.1"}}, {header: map[string]string{"Via": "1.1 x"}}, {header: map[string]string{"X-Forwarded-User": "ann"}}} {
		c.path = "/x"
		if w := r.do(c); w.Code != http.StatusForbidden {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
	}
	// A Unix socket is this machine.
	socket := filepath.Join(t.TempDir(), "c.sock")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(r.h)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for host, want := range map[string]int{"localhost": 200, "evil.example": 403} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s over a socket: %d", host, answer.StatusCode)
		}
	}
}

// Headers of a proxy count from its address with its secret, once.
func TestProxy(t *testing.T) {
	t.Parallel()
	proxies, err := ParseProxies([]string{"10.0.0.0/24", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Trusted: proxies, Secret: secret.New("between-us"), SecretHeader: "X-Proof", UserHeader: "X-Forwarded-User", GroupsHeader: "X-Forwarded-Groups"}
	r := newRig(t, Config{Authenticator: p, Rules: rules(t), BehindProxy: true, TrustedProxies: proxies})
	good := http.Header{"X-Proof": {"between-us"}, "X-Forwarded-User": {"bob"}, "X-Forwarded-Groups": {"staff, redox ops"}}
	for name, c := range map[string]struct {
		from   string
		change http.Header
		want   int
		says   string
	}{
		"the proxy":             {from: "10.0.0.7:1", want: 200, says: "hello bob"},
		"another by IPv6":       {from: "[::1]:1", want: 200, says: "hello bob"},
		"mapped":                {from: "[::ffff:10.0.0.7]:1", want: 200, says: "hello bob"},
		"from elsewhere":        {from: "10.0.1.7:1", want: 403, says: "Not let in"},
		"from a socket":         {from: "@", want: 403},
		"wrong secret":          {from: "10.0.0.7:1", change: http.Header{"X-Proof": {"between-uS"}}, want: 403},
		"no secret":             {from: "10.0.0.7:1", change: http.Header{"X-Proof": nil}, want: 403},
		"two secrets":           {from: "10.0.0.7:1", change: http.Header{"X-Proof": {"between-us", "x"}}, want: 403},
		"nobody":                {from: "10.0.0.7:1", change: http.Header{"X-Forwarded-User": nil}, want: 403},
		"two users":             {from: "10.0.0.7:1", change: http.Header{"X-Forwarded-User": {"root", "bob"}}, want: 403},
		"two lists of groups":   {from: "10.0.0.7:1", change: http.Header{"X-Forwarded-Groups": {"redox ops", "x"}}, want: 403},
		"a name with a newline": {from: "10.0.0.7:1", change: http.Header{"X-Forwarded-User": {"bob\x7f"}}, want: 403},
		"no group that counts":  {from: "10.0.0.7:1", change: http.Header{"X-Forwarded-Groups": {"redox ops admins,staff"}}, want: 403, says: "bob is known here, and may see nothing"},
	} {
		req := httptest.NewRequest("GET", "http://ops.example/x", nil)
		req.RemoteAddr, req.Header = c.from, good.Clone()
		for k, v := range c.change {
			if req.Header.Del(k); v != nil {
				req.Header[k] = v
			}
		}
		w := httptest.NewRecorder()
		if r.h.ServeHTTP(w, req); w.Code != c.want || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if strings.Contains(r.log.String(), "between-u") {
		t.Error("the secret was logged")
	}
	none := *p
	none.Secret = secret.Text{}
	if who, err := none.Authenticate(&http.Request{RemoteAddr: "10.0.0.7:1", Header: http.Header{"X-Forwarded-User": {"bob"}}}); err == nil {
		t.Errorf("let %v in without a secret", who)
	}
}

// The address is the last one that no trusted proxy has.
func TestGuard_Remote(t *testing.T) {
	t.Parallel()
	all, _ := tokens(t, "ann")
	proxies, _ := ParseProxies([]string{"10.0.0.0/24"})
	g := newRig(t, Config{Tokens: all, TrustedProxies: proxies}).g
	for _, c := range []struct{ from, forwarded, want string }{
		{"10.0.0.7:1", "", "10.0.0.7"}, {"10.0.0.7:1", "6.6.6.6, 192.0.2.9", "192.0.2.9"}, {"10.0.0.7:1", "192.0.2.9, 10.0.0.8", "192.0.2.9"},
		{"192.0.2.5:1", "127.0.0.1", "192.0.2.5"}, {"10.0.0.7:1", "192.0.2.9, junk", "10.0.0.7"}, {"@", "", "socket"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if r.RemoteAddr = c.from; c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := g.remote(r); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
}

type panicking struct{ what any }

func (p panicking) Authenticate(*http.Request) (Identity, error) { panic(p.what) }

type failing struct{}

func (failing) Authenticate(*http.Request) (Identity, error) {
	return Identity{Name: "root"}, errors.New("no database")
}

type nameless struct{}

func (nameless) Authenticate(*http.Request) (Identity, error) { return Identity{}, nil }

// An Authenticator that fails lets nobody in, and what it panics with is not told.
func TestGuard_AuthenticatorFails(t *testing.T) {
	t.Parallel()
	everybody := []Rule{{Role: Admin, Name: "*", Sources: []string{"*"}}}
	for _, a := range []Authenticator{panicking{"hush"}, panicking{nil}, panicking{errors.New("hush")}, failing{}, nameless{}} {
		r := newRig(t, Config{Authenticator: a, Rules: everybody})
		w := r.do(call{path: "/x"})
		status(t, w, http.StatusForbidden, "Not let in")
		if strings.Contains(w.Body.String()+r.log.String(), "hush") || strings.Contains(w.Body.String(), "database") {
			t.Errorf("%T tells: %s %s", a, w.Body, r.log)
		}
	}
}
