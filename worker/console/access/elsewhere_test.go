package access

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// elsewhere is a place where people sign in: it lets in whoever brings the code of their name.
type elsewhere struct {
	callback, nonce, verifier string
	err                       error
	panics                    bool
}

func (e *elsewhere) Begin(_ context.Context, callback, state, nonce, verifier string) (string, error) {
	if e.panics {
		panic("hush")
	}
	e.callback, e.nonce, e.verifier = callback, nonce, verifier
	return "https://idp.example/auth?state=" + state, e.err
}

func (e *elsewhere) Finish(_ context.Context, callback string, answer url.Values, nonce, verifier string) (Identity, error) {
	if e.panics {
		panic("hush")
	}
	if callback != e.callback || nonce != e.nonce || verifier != e.verifier {
		return Identity{}, errors.New("of another sign-in")
	}
	return Identity{Name: answer.Get("code"), Groups: []string{"redox ops", "no group of the rules"}}, e.err
}

// begun is a browser that was sent away: its state and its cookies.
func (r *rig) begun(next string) (state string, cookies []*http.Cookie) {
	r.t.Helper()
	w := r.do(call{path: "/sign-in/elsewhere?next=" + url.QueryEscape(next)})
	status(r.t, w, http.StatusSeeOther)
	u, err := url.Parse(w.Header().Get("Location"))
	if err != nil || u.Host != "idp.example" {
		r.t.Fatalf("sent to %s", u)
	}
	return u.Query().Get("state"), w.Result().Cookies()
}

func elsewhereRig(t *testing.T) (*rig, *elsewhere) {
	e := &elsewhere{}
	return newRig(t, Config{Redirector: e, Rules: rules(t), PublicURL: "https://ops.example/redox", BehindProxy: true}), e
}

func TestElsewhere_SignsIn(t *testing.T) {
	t.Parallel()
	r, e := elsewhereRig(t)
	status(t, r.do(call{path: "/sign-in?next=dead"}), http.StatusOK, `href="./sign-in/elsewhere?next=dead"`)
	state, cookies := r.begun("dead?source=clinic-a")
	if c := cookies[0]; !strings.HasPrefix(c.Name, "__Host-redox-redox-away-") || c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || !c.Secure || strings.Contains(c.Value, state) {
		t.Errorf("kept as %+v", c)
	}
	if e.callback != "https://ops.example/redox/sign-in/callback" || e.nonce == e.verifier || e.nonce == state || len(e.verifier) != 43 {
		t.Errorf("sent with %+v", e)
	}
	// The browser keeps a strict cookie back where another site leads it on: a page of our own does.
	w := r.do(call{path: "/sign-in/callback?code=bob&state=" + state, cookies: cookies, header: map[string]string{"Sec-Fetch-Site": "cross-site"}})
	status(t, w, http.StatusOK, `content="0;url=../dead?source=clinic-a"`, `href="../dead?source=clinic-a"`)
	status(t, r.do(call{path: "/x", cookies: []*http.Cookie{sessionOf(t, w)}}), http.StatusOK, "hello bob")
}

// A browser that begins again and again brings no more cookies than are read, and the last sign-in counts.
func TestElsewhere_BegunManyTimes(t *testing.T) {
	t.Parallel()
	r, _ := elsewhereRig(t)
	kept := map[string]*http.Cookie{}
	var order []string
	var state string
	for range 3 * mostAway {
		var mine []*http.Cookie
		for _, name := range order {
			if kept[name] != nil {
				mine = append(mine, kept[name])
			}
		}
		w := r.do(call{path: "/sign-in/elsewhere", cookies: append(mine, &http.Cookie{Name: "of-another", Value: "x"})})
		for _, c := range w.Result().Cookies() {
			if delete(kept, c.Name); c.MaxAge > 0 {
				kept[c.Name] = c
				order = append(order, c.Name)
			}
		}
		u, _ := url.Parse(w.Header().Get("Location"))
		state = u.Query().Get("state")
	}
	if len(kept) != mostAway {
		t.Errorf("the browser keeps %d", len(kept))
	}
	status(t, r.do(call{path: "/sign-in/callback?code=bob&state=" + state, cookies: []*http.Cookie{kept[order[len(order)-1]]}}), http.StatusOK)
}

func TestElsewhere_Refuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, e := elsewhereRig(t)
		refused := func(what, path string, cookies []*http.Cookie) {
			t.Helper()
			w := r.do(call{path: path, cookies: cookies})
			for _, c := range w.Result().Cookies() {
				if c.Value != "" {
					t.Errorf("%s: got a cookie %s", what, c.Name)
				}
			}
			if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Not signed in") {
				t.Errorf("%s: %d %s", what, w.Code, w.Body)
			}
		}
		state, cookies := r.begun("")
		other, others := r.begun("")
		refused("no cookie", "/sign-in/callback?code=bob&state="+state, nil)
		refused("no state", "/sign-in/callback?code=bob", cookies)
		refused("short state", "/sign-in/callback?code=bob&state=abc", cookies)
		refused("the state of another browser", "/sign-in/callback?code=bob&state="+other, cookies)
		forged := *cookies[0]
		forged.Value = others[0].Value
		refused("the cookie of another state", "/sign-in/callback?code=bob&state="+state, []*http.Cookie{&forged})
		changed := *cookies[0]
		changed.Value = changed.Value[:20] + "A" + changed.Value[21:]
		refused("a changed cookie", "/sign-in/callback?code=bob&state="+state, []*http.Cookie{&changed})
		// The second one was begun last.
		status(t, r.do(call{path: "/sign-in/callback?code=bob&state=" + other, cookies: others}), http.StatusOK)
		refused("a state that was used", "/sign-in/callback?code=bob&state="+other, others)
		refused("a verifier of another sign-in", "/sign-in/callback?code=bob&state="+state, cookies)
		state, cookies = r.begun("")
		refused("without a name", "/sign-in/callback?state="+state, cookies)
		state, cookies = r.begun("")
		refused("a name of lines", "/sign-in/callback?code=a%0Ab&state="+state, cookies)
		state, cookies = r.begun("")
		bubble.Sleep(awayFor + time.Second)
		refused("too late", "/sign-in/callback?code=bob&state="+state, cookies)
		state, cookies = r.begun("")
		e.panics = true
		refused("a panic", "/sign-in/callback?code=bob&state="+state, cookies)
		status(t, r.do(call{path: "/sign-in/elsewhere"}), http.StatusBadGateway, "Nobody can sign in now")
		if strings.Contains(r.log.String(), "hush") || strings.Contains(r.log.String(), e.verifier) {
			t.Errorf("a secret was logged: %s", r.log)
		}
	})
}

// Where the browser is led to after signing in is always a page of this console.
func TestOnward_StaysInside(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"": "", "dead": "dead", "dead/clinic%2Fa/1?x=y&z=%20": "dead/clinic%2Fa/1?x=y&z=%20", "javascript:alert(1)": "javascript:alert(1)", "a b": "a%20b",
		"//evil.example": "", "/evil.example": "", "/\\evil.example": "", "\\evil.example": "", "https://evil.example": "", "../other": "", "a/../../x": "", "%2e%2e/x": "", "a#b": "",
		"sign-in": "", "sign-in/elsewhere": "", "sign-out": "", "a\nb": "", "?\"": "", "?<": "", "%": "", strings.Repeat("a", 2000): "",
	} {
		got := onward(to)
		if got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
		all, _ := tokens(t, "ann")
		w := newRig(t, Config{Tokens: all}).do(call{path: "/sign-in?next=" + url.QueryEscape(to)})
		if strings.Contains(w.Body.String(), "evil") {
			t.Errorf("%q is in the page: %s", to, w.Body)
		}
	}
	base, _ := url.Parse("https://ops.example/redox/sign-in")
	to, err := base.Parse("./" + onward("javascript:alert(1)"))
	if err != nil || to.Host != "ops.example" {
		t.Errorf("led to %v, %v", to, err)
	}
}
