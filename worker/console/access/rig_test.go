package access

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// logged collects what is logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// rig is a guarded page that says who is there.
type rig struct {
	t   *testing.T
	g   *Guard
	h   http.Handler
	log *logged
}

var testKey = secret.New(strings.Repeat("k", 32))

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	l := &logged{}
	cfg.Logger = slog.New(slog.NewTextHandler(l, nil))
	if cfg.SessionKeys == nil {
		cfg.SessionKeys = []secret.Text{testKey}
	}
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, g: g, log: l, h: g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := From(r.Context())
		_, _ = io.WriteString(w, "hello "+u.Name)
	}))}
}

// call is one request as a browser on this machine makes it.
type call struct {
	method, path, body string
	header             map[string]string
	cookies            []*http.Cookie
	from, host         string
}

func (r *rig) do(c call) *httptest.ResponseRecorder {
	r.t.Helper()
	if c.method == "" {
		c.method = "GET"
	}
	req := httptest.NewRequest(c.method, "http://localhost:8467"+c.path, strings.NewReader(c.body))
	req.RemoteAddr = "127.0.0.1:5000"
	if c.from != "" {
		req.RemoteAddr = c.from
	}
	if c.host != "" {
		req.Host = c.host
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range c.header {
		req.Header.Set(k, v)
	}
	for _, cookie := range c.cookies {
		req.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	r.h.ServeHTTP(w, req)
	return w
}

// signIn posts the form.
func (r *rig) signIn(name, secret string, c call) *httptest.ResponseRecorder {
	r.t.Helper()
	c.method, c.path = "POST", "/sign-in"
	c.body = url.Values{"name": {name}, "secret": {secret}, "next": {"dead?source=clinic-a"}}.Encode()
	return r.do(c)
}

// status fails the test where an answer has another.
func status(t *testing.T, w *httptest.ResponseRecorder, want int, contains ...string) {
	t.Helper()
	if w.Code != want {
		t.Errorf("status %d, want %d: %.200s", w.Code, want, w.Body)
	}
	for _, text := range contains {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("the answer lacks %q: %s", text, w.Body)
		}
	}
}

// sessionOf is the cookie of the session.
func sessionOf(t *testing.T, w *httptest.ResponseRecorder) *http.Cookie {
	t.Helper()
	for _, c := range w.Result().Cookies() {
		if !strings.Contains(c.Name, "known") && !strings.Contains(c.Name, "away") {
			return c
		}
	}
	t.Fatalf("no session: %d %v %.300s", w.Code, w.Header(), w.Body)
	return nil
}

// rules are of the users of the tests: ann views and operates clinics, ops is a group of operators.
func rules(t *testing.T) []Rule {
	t.Helper()
	var all []Rule
	for _, r := range []struct {
		role Role
		text string
	}{{Viewer, "ann"}, {Operator, "ann for clinic-* lab"}, {Operator, "group:redox ops"}, {Admin, "root"}} {
		rule, err := ParseRule(r.role, r.text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rule)
	}
	return all
}

func tokens(t *testing.T, names ...string) (*Tokens, map[string]string) {
	t.Helper()
	hashes, made := map[string]string{}, map[string]string{}
	for _, name := range names {
		made[name], hashes[name] = NewToken()
	}
	all, err := NewTokens(hashes)
	if err != nil {
		t.Fatal(err)
	}
	return all, made
}

// passwords are those of users, at the least cost.
func passwords(t *testing.T, users map[string]string) *Passwords {
	t.Helper()
	var text strings.Builder
	for name, password := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(name + ":" + string(hash) + "\n")
	}
	p, err := ReadPasswords([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
