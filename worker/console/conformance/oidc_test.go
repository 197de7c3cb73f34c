package conformance

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/console/access/oidc"
	"github.com/redoxworker/redoxworker/worker/workertest/nodejs"
)

const npmDir = "testdata/npm"

// startOIDC runs the provider in a Node process of its own and returns its issuer.
func startOIDC(t *testing.T, claimsIn, callback, hush string) string {
	t.Helper()
	method := "none"
	if hush != "" {
		method = "client_secret_basic"
	}
	client, err := json.Marshal(map[string]any{"client_id": "console", "client_secret": hush, "redirect_uris": []string{callback}, "response_types": []string{"code"},
		"grant_types": []string{"authorization_code"}, "token_endpoint_auth_method": method, "application_type": "native"})
	if err != nil {
		t.Fatal(err)
	}
	if hush == "" {
		client = bytes.Replace(client, []byte(`"client_secret":"",`), nil, 1)
	}
	return nodejs.Start(t, npmDir, "oidc.mjs", "CLIENT="+string(client), "CLAIMS_IN="+claimsIn, `GROUPS={"ann":["redox ops","staff"],"eve":["staff"]}`)
}

// guarded serves a page that says who is there, below a path, as a console would be.
func guarded(t *testing.T, claimsIn, hush string) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	public := strings.Replace(server.URL, "127.0.0.1", "localhost", 1) + "/ops/redox" // another host than the provider's
	p, err := oidc.New(oidc.Config{Issuer: startOIDC(t, claimsIn, public+"/sign-in/callback", hush), ClientID: "console", ClientSecret: secret.New(hush), Scopes: []string{"openid", "email", "groups"}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := access.New(access.Config{Redirector: p, PublicURL: public, Rules: []access.Rule{{Role: access.Operator, Group: "redox ops", Sources: []string{"clinic-*"}}}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/ops/redox/", http.StripPrefix("/ops/redox", g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, _ := access.From(r.Context())
		_, _ = io.WriteString(w, "hello "+u.Name+": "+u.Has())
	}))))
	return public
}

// browser follows redirects, links and forms, as one without scripts does.
type browser struct {
	*http.Client
	t  *testing.T
	at *url.URL
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, Client: &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (b *browser) open(method, to string, form url.Values) (status int, page string) {
	b.t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.at != nil {
		u = b.at.ResolveReference(u)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	b.at = answer.Request.URL
	return answer.StatusCode, string(text)
}

// find is the first thing that a pattern finds in a page.
func (b *browser) find(page, pattern string) string {
	b.t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(page)
	if found == nil {
		b.t.Fatalf("%s has no %s:\n%s", b.at, pattern, page)
	}
	return html.UnescapeString(found[1])
}

// signIn goes through the pages of the console and of the provider, and returns the last one and the
// address of the callback.
func (b *browser) signIn(public, user string) (page, callback string) {
	b.t.Helper()
	_, page = b.open("GET", public+"/dead?source=clinic-a", nil)
	_, page = b.open("GET", b.find(page, `class="button" href="([^"]+)"`), nil)
	_, page = b.open("POST", b.find(page, `action="([^"]+)"`), url.Values{"prompt": {"login"}, "login": {user}, "password": {"any"}})
	_, page = b.open("POST", b.find(page, `action="([^"]+)"`), url.Values{"prompt": {"consent"}})
	callback = b.at.String()
	_, page = b.open("GET", b.find(page, `http-equiv="refresh" content="0;url=([^"]+)"`), nil)
	return page, callback
}

// oidc-provider signs ann in with the role of her group; eve's group gives nothing; what came back once
// is worth nothing a second time, in this browser or another.
func TestOIDC_SignsIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ claimsIn, hush string }{"claims in the token": {"token", "hush-of-the-console"}, "claims by userinfo, public client": {"userinfo", ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			public := guarded(t, c.claimsIn, c.hush)
			ann := newBrowser(t)
			page, callback := ann.signIn(public, "ann")
			if page != "hello ann@hospital.example: they are operator for clinic-*" || ann.at.String() != public+"/dead?source=clinic-a" {
				t.Errorf("%s: %s", ann.at, page)
			}
			for who, b := range map[string]*browser{"the same browser": ann, "another": newBrowser(t)} {
				if status, page := b.open("GET", callback, nil); status != http.StatusForbidden || !strings.Contains(page, "Not signed in") {
					t.Errorf("%s comes back again: %d %s", who, status, page)
				}
			}
			eve := newBrowser(t)
			if page, _ := eve.signIn(public, "eve"); !strings.Contains(page, "eve@hospital.example is known here, and may see nothing") || !strings.Contains(page, "viewer") {
				t.Errorf("eve: %s", page)
			}
			_, _ = ann.open("POST", public+"/sign-out", url.Values{})
			if _, page := ann.open("GET", public+"/", nil); !strings.Contains(page, "Sign in with your organization") {
				t.Errorf("after signing out: %s", page)
			}
		})
	}
}
