package signin

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// load reads settings of a console from a file, as the command does.
func load(t *testing.T, console string) (config.Console, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "redoxworker.yaml")
	write(t, file, "console:\n  listen: 127.0.0.1:0\n"+console)
	c, err := config.Load(config.Options{File: file, Skip: config.PartKeys | config.PartSources})
	if err != nil {
		return config.Console{}, err
	}
	return c.Console, nil
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func hashed(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost+1)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// gate is what the settings make, before a page that says who is there and whether they may reveal.
func gate(t *testing.T, console string) (*Gate, http.Handler) {
	t.Helper()
	c, err := load(t, console)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return g, g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := access.From(r.Context())
		_, _ = io.WriteString(w, "hello "+u.Name+": "+u.Has())
	}))
}

func get(t *testing.T, h http.Handler, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "http://localhost/x", nil)
	r.RemoteAddr = "127.0.0.1:1"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Each way that the settings name lets in whom it should, with the roles of the lists.
func TestGate_EachWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users, proof := filepath.Join(dir, "users"), filepath.Join(dir, "proof")
	write(t, users, "ann:"+hashed(t, "secret"))
	write(t, proof, "between-us\n")
	token, hash := access.NewToken()
	for name, c := range map[string]struct {
		console string
		good    func(*http.Request)
		says    string
	}{
		"token": {"  tokens: [ann=" + hash + "]\n  viewers: ['*']\n  operators: [ann for clinic-*]", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, "ann: they are operator for clinic-*, viewer"},
		"basic": {"  auth: basic\n  users_file: " + users + "\n  revealers: [ann]", func(r *http.Request) { r.SetBasicAuth("ann", "secret") }, "ann: they are revealer"},
		"proxy": {"  auth: proxy\n  trusted_proxies: [127.0.0.1]\n  proxy: {secret_file: " + proof + "}\n  admins: [group:ops]\n  behind_proxy: true", func(r *http.Request) {
			for k, v := range map[string]string{"X-Redox-Proxy-Secret": "between-us", "X-Forwarded-User": "bob", "X-Forwarded-Groups": "ops"} {
				r.Header.Set(k, v)
			}
		}, "bob: they are admin"},
		"none": {"  auth: none", func(*http.Request) {}, "they are admin"},
	} {
		_, h := gate(t, c.console)
		if w := get(t, h, c.good); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		w := get(t, h, func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" })
		if w.Code == http.StatusOK {
			t.Errorf("%s: let in from elsewhere: %s", name, w.Body)
		}
	}
	_, h := gate(t, "  auth: oidc\n  oidc: {issuer: 'https://idp.example', client_id: console}\n  public_url: https://ops.example/redox/\n  admins: ['*']")
	if w := get(t, h, func(r *http.Request) { r.URL.Path = "/sign-in" }); !strings.Contains(w.Body.String(), "your organization") {
		t.Errorf("oidc: %d %s", w.Code, w.Body)
	}
}

// What cannot be is told with its key, and nothing of a secret.
func TestGate_Mistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "ann:hush")
	token := "ann=" + access.HashToken("a")
	for console, says := range map[string]string{
		"  auth: basic\n  users_file: " + file + "\n  viewers: ['*']":                                                                                     "console.users_file: file ",
		"  tokens: ['" + token + "', '" + token + "']\n  viewers: ['*']":                                                                                  "console.tokens: ann has two",
		"  auth: oidc\n  oidc: {issuer: 'https://idp.example', client_id: x, ca_file: " + file + "}\n  public_url: https://ops.example\n  viewers: ['*']": "console.oidc.ca_file: file ",
		"  auth: oidc\n  oidc: {issuer: 'https://idp.example', client_id: x, scopes: [email]}\n  public_url: https://ops.example\n  viewers: ['*']":       "openid",
		"  tokens: ['" + token + "']\n  viewers: ['ann for [']":                                                                                           "console.viewers: ",
	} {
		c, err := load(t, console)
		if err == nil {
			_, err = New(c, slog.New(slog.DiscardHandler))
		}
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v", console, err)
		}
	}
}

// Behind a proxy that is not trusted all come from one place, which is told.
func TestGate_TellsWhereAllComeFromOnePlace(t *testing.T) {
	t.Parallel()
	users := filepath.Join(t.TempDir(), "users")
	write(t, users, "ann:"+hashed(t, "secret"))
	for proxies, told := range map[string]bool{"": true, "\n  trusted_proxies: [127.0.0.1]": false} {
		c, err := load(t, "  auth: basic\n  users_file: "+users+"\n  viewers: ['*']\n  behind_proxy: true"+proxies)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if _, err := New(c, slog.New(slog.NewTextHandler(&text, nil))); err != nil || strings.Contains(text.String(), "console.trusted_proxies") != told {
			t.Errorf("with %q: %v %s", proxies, err, &text)
		}
	}
}

// Users and session keys are followed: who is taken out is out, and sessions of before go on while
// their key is there.
func TestGate_FollowsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	users, keys := filepath.Join(dir, "users"), filepath.Join(dir, "keys")
	one, two := strings.Repeat("1", 32), strings.Repeat("2", 32)
	write(t, users, "ann:"+hashed(t, "a"))
	write(t, keys, one)
	g, h := gate(t, "  auth: basic\n  users_file: "+users+"\n  session_key_file: "+keys+"\n  viewers: ['*']")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	signIn := func() *http.Cookie {
		r := httptest.NewRequest("POST", "http://localhost/sign-in", strings.NewReader(url.Values{"name": {"ann"}, "secret": {"a"}}.Encode()))
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			if c.Name == "redox" {
				return c
			}
		}
		t.Fatalf("%d %s", w.Code, w.Body)
		return nil
	}
	in := func(c *http.Cookie) bool {
		return get(t, h, func(r *http.Request) { r.AddCookie(c) }).Code == http.StatusOK
	}
	until := func(what string, holds func() bool) {
		t.Helper()
		for !holds() {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-t.Context().Done():
				t.Fatal(what)
			}
		}
	}
	old := signIn()
	write(t, keys, two+"\n"+one)
	oldKey := func() bool {
		_, h := gate(t, "  auth: basic\n  users_file: "+users+"\n  session_key: "+one+"\n  viewers: ['*']")
		c := signIn()
		return get(t, h, func(r *http.Request) { r.AddCookie(c) }).Code == http.StatusOK
	}
	until("the new key does not seal", func() bool { return !oldKey() })
	if !in(old) {
		t.Error("the old key does not open any more")
	}
	fresh := signIn()
	write(t, keys, two)
	until("the old key still opens", func() bool { return !in(old) })
	if !in(fresh) {
		t.Error("a session of the new key is over")
	}
	write(t, users, "ann:damaged")
	if err := g.load(); err == nil || !in(fresh) {
		t.Errorf("a damaged file was put to use: %v", err)
	}
	write(t, users, "bob:"+hashed(t, "b"))
	until("ann is still in", func() bool { return !in(fresh) })
}
