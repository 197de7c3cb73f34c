package console_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// The form of the theme leads back to the page that it was on, its filter included, and nowhere else.
func TestConsole_TheThemeLeadsBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, back := range map[string]string{"/": "", "/dead?source=clinic-a&done=replayed": "dead?source=clinic-a", "/?done=paused": "", "/order/held": "order/held"} {
		page := r.get("ada", path, "text/html").body
		_, rest, _ := strings.Cut(page, `name="back" value="`)
		if got, _, _ := strings.Cut(rest, `"`); got != strings.ReplaceAll(back, "&", "&amp;") {
			t.Errorf("%s leads back to %q", path, got)
		}
		if back == "" {
			back = "./"
		}
		if got := r.post("ada", "/theme", "", "theme", "dark", "back", back); got.status != http.StatusSeeOther || strings.TrimPrefix(got.header.Get("Location"), "./") != strings.TrimPrefix(back, "./") {
			t.Errorf("%s: %d to %q", path, got.status, got.header.Get("Location"))
		}
	}
	base, err := url.Parse("https://ops.example/redox/theme")
	must(t, err)
	for _, back := range []string{" //evil", "\t//evil", "\n//evil", "//evil", "///evil", "/evil", `\\evil`, `/\evil`, "%2f%2fevil", "https:evil", "https://evil", "javascript:alert(1)", "..", "dead/../../x", "\u00a0//evil", "./\t/evil"} {
		to := r.post("ada", "/theme", "", "theme", "dark", "back", back).header.Get("Location")
		led, err := base.Parse(to)
		if err != nil || led.Host != "ops.example" || led.Scheme != "https" || !strings.HasPrefix(led.Path, "/redox/") || strings.TrimLeft(to, " \t\r\n") != to {
			t.Errorf("%q leads to %q", back, to)
		}
	}
}

// The cookie of the theme goes over TLS alone where the browser speaks that, to a proxy as well.
func TestConsole_TheThemeIsKeptOverTLS(t *testing.T) {
	t.Parallel()
	for behind, secure := range map[bool]bool{false: false, true: true} {
		g, err := access.New(access.Config{Authenticator: access.Local{Name: "ann"}, BehindProxy: behind, Rules: []access.Rule{{Role: access.Viewer, Name: "*", Sources: []string{"*"}}}})
		must(t, err)
		r := newRig(t, func(c *console.Config) { c.Guard = g.Wrap })
		cookies := r.as(asker{}, http.MethodPost, "/theme", "theme=dark", "text/html").Result().Cookies()
		if len(cookies) != 1 || cookies[0].Secure != secure || cookies[0].Value != "dark" || !cookies[0].HttpOnly {
			t.Errorf("behind a proxy %v: %+v", behind, cookies)
		}
	}
}

// The page of keys leads to the set of public keys where the console has it, and says where it is elsewhere.
func TestConsole_PublicKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *console.Config) {
		c.PublicKeys = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) })
	})
	if got := r.get("vera", "/keys", ""); !strings.Contains(got.body, `href="keys/jwks.json"`) {
		t.Errorf("%s", got.body)
	}
	if got := r.get("vera", "/keys/jwks.json", ""); got.status != http.StatusOK || got.body != `{"keys":[]}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	none := newRig(t)
	if got := none.get("vera", "/keys", ""); strings.Contains(got.body, "keys/jwks.json\"") || !strings.Contains(got.body, "/.well-known/jwks.json") {
		t.Errorf("%s", got.body)
	}
	if got := none.get("vera", "/keys/jwks.json", asJSON); got.status != http.StatusNotFound || !strings.Contains(got.body, "redoxworker keys jwks") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
