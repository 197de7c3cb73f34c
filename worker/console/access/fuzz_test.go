package access

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// No text but those that were sealed opens, and what a sealed text holds is nobody else.
func FuzzSession(f *testing.F) {
	all, err := NewTokens(map[string]string{"ann": HashToken("a")})
	if err != nil {
		f.Fatal(err)
	}
	g, err := New(Config{Tokens: all, SessionKeys: []secret.Text{testKey}, Rules: []Rule{{Role: Viewer, Name: "*", Sources: []string{"*"}}}})
	if err != nil {
		f.Fatal(err)
	}
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	sealed := g.sealed(r, "", session{Name: "ann", Way: "token"})
	f.Add(sealed, []byte(`{"n":"ann","w":"token","i":1}`))
	f.Add("", []byte(`{}`))
	f.Add(sealed[:30], []byte(`{"n":1}`))
	f.Fuzz(func(t *testing.T, value string, payload []byte) {
		if payload, ok := g.seal.open("redox", value); ok && string(payload) != `{"n":"ann","w":"token","i":0}` {
			t.Errorf("%q opens: %q", value, payload)
		}
		// Even where the seal is right, a payload that is no session of today is none.
		for _, value := range []string{value, g.seal.seal("redox", payload)} {
			r := httptest.NewRequest("GET", "http://localhost/", nil)
			r.Header.Set("Cookie", "redox="+value)
			var s session
			_ = json.Unmarshal(payload, &s)
			if mark, _ := all.mark("ann"); s.Mark == mark {
				continue // the right one
			}
			if who, _, ok := g.current(r); ok {
				t.Errorf("%q is a session of %v", value, who)
			}
		}
	})
}

// Whatever leads onward leads to a page below the root of the console.
func FuzzOnward(f *testing.F) {
	for _, to := range []string{"dead?x=y", "//evil", " //evil", "\t//evil", "\u00a0//evil", "///evil", "/\\evil", "%2f%2fevil", "%5c%5cevil", "%09//evil", "\r\n//evil", "\x00//evil", "https:evil", "https:/evil", "./\t/evil", "javascript:alert(1)", "a/../..", "\\\\evil", "%2e%2e/", "sign-in"} {
		f.Add(to)
	}
	base, err := url.Parse("https://ops.example/redox/dead/x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, to string) {
		inside := Inside(&http.Request{URL: &url.URL{Path: "/dead/x"}}, to)
		led, err := base.Parse(inside)
		if err != nil || led.Host != "ops.example" || led.Scheme != "https" || !strings.HasPrefix(led.Path, "/redox/") || strings.ContainsAny(inside, "\r\n\"<>\\") {
			t.Errorf("%q leads to %q: %v, %v", to, inside, led, err)
		}
	})
}
