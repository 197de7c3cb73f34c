package console_test

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

// matrixRow is one request of the matrix: the least role that it takes, and how it is made for a source.
// What is asked for lacks what it needs, so that whoever may do it is told so and nothing changes.
type matrixRow struct {
	pattern string
	least   access.Role
	// of: which sources count. "some": the one in the request. "all": the role has to be for all. "any": for
	// any, and what is shown is of those.
	of   string
	path string // %s is the source, %d the number of a dead letter of it
	form string
}

// matrix has a row for each route, and one for each way that it asks.
var matrix = []matrixRow{
	{"GET /{$}", access.Viewer, "any", "/", ""},
	{"GET /events", access.Viewer, "any", "/events", ""},
	{"GET /dead", access.Viewer, "any", "/dead", ""},
	{"GET /dead", access.Viewer, "some", "/dead?source=%s", ""},
	{"GET /dead/{sequence}", access.Viewer, "some", "/dead/%d", ""},
	{"GET /dead/{sequence}/shape", access.Viewer, "some", "/dead/%d/shape", ""},
	{"GET /replays", access.Viewer, "any", "/replays", ""},
	{"GET /replays/{id}", access.Viewer, "any", "/replays/none", ""},
	{"GET /order", access.Viewer, "any", "/order", ""},
	{"GET /order", access.Viewer, "some", "/order?source=%s", ""},
	{"GET /order/held", access.Viewer, "any", "/order/held", ""},
	{"GET /sources", access.Viewer, "any", "/sources", ""},
	{"GET /keys", access.Viewer, "all", "/keys", ""},
	{"GET /workers", access.Viewer, "all", "/workers", ""},
	{"GET /keys/jwks.json", access.Viewer, "all", "/keys/jwks.json", ""},
	{"GET /outbox", access.Viewer, "any", "/outbox", ""},
	{"GET /outbox", access.Viewer, "some", "/outbox?source=%s", ""},
	{"GET /outbox/failed", access.Viewer, "any", "/outbox/failed", ""},
	{"GET /outbox/failed", access.Viewer, "some", "/outbox/failed?source=%s", ""},
	{"POST /outbox/choose", access.Operator, "any", "/outbox/choose", "action=retry-all"},
	{"POST /outbox/choose", access.Operator, "some", "/outbox/choose", "action=retry-all&source=%s"},
	{"POST /outbox/choose", access.Operator, "some", "/outbox/choose", "action=discard&chosen=%d"},
	{"POST /outbox/failed", access.Operator, "some", "/outbox/failed", "action=retry&chosen=%d"},
	{"POST /outbox/failed", access.Operator, "some", "/outbox/failed", "action=discard-all&source=%s"},
	{"POST /pause", access.Operator, "some", "/pause", "source=%s"},
	{"POST /pause", access.Operator, "all", "/pause", "all=1"},
	{"POST /resume", access.Operator, "some", "/resume", "source=%s"},
	{"POST /resume", access.Operator, "all", "/resume", "all=1"},
	{"POST /dead/choose", access.Operator, "some", "/dead/choose", "action=replay&chosen=%d"},
	{"POST /dead/choose", access.Operator, "some", "/dead/choose", "action=discard&chosen=%d"},
	{"POST /dead/choose", access.Operator, "any", "/dead/choose", "action=discard-all"},
	{"POST /dead/export", access.Revealer, "some", "/dead/export", "action=export&chosen=%d"},
	{"POST /replays", access.Operator, "any", "/replays", "action=replay&chosen=%d"},
	{"POST /replays", access.Operator, "some", "/replays", "action=discard&chosen=%d&chosen=%d0&count=1&through=9&reason=x"},
	{"POST /replays/{id}/stop", access.Operator, "any", "/replays/none/stop", "x=1"},
	{"POST /replays/{id}/resume", access.Operator, "any", "/replays/none/resume", "x=1"},
	{"POST /order/hold", access.Operator, "some", "/order/hold", "source=%s&id=x"},
	{"POST /order/release", access.Operator, "some", "/order/release", "source=%s&token=0123456789abcdef0123456789abcdef"},
	{"POST /dead/{sequence}/reveal", access.Revealer, "some", "/dead/%d/reveal", "x=1"},
	{"POST /dead/{sequence}/edit", access.Revealer, "some", "/dead/%d/edit", "x=1"},
	{"POST /dead/{sequence}/send", access.Revealer, "some", "/dead/%d/send", "body={}"},
	{"POST /sources", access.Admin, "some", "/sources", "name=%s"},
	{"GET /sources/{name}", access.Admin, "some", "/sources/%s", ""},
	{"POST /sources/{name}", access.Admin, "some", "/sources/%s", "key=main"},
	{"POST /sources/{name}/remove", access.Admin, "some", "/sources/%s/remove", "revision=0"},
	{"GET /audit", access.Admin, "any", "/audit", ""},
	{"GET /audit", access.Admin, "some", "/audit?source=%s", ""},
}

// asker is a column of the matrix.
type asker struct {
	name, token string
	role        access.Role // "" of nobody
	only        bool        // for lab-* alone
	from        string      // Sec-Fetch-Site
}

// may says what the matrix expects.
func (a asker) may(row matrixRow, source string) bool {
	if a.role == "" || slices.Index(access.Roles(), a.role) < slices.Index(access.Roles(), row.least) || a.from == "cross-site" && strings.HasPrefix(row.pattern, "POST") {
		return false
	}
	return !a.only || row.of == "any" || row.of == "some" && strings.HasPrefix(source, "lab-")
}

// matrixRig is a console behind the guard that the settings make, and who asks of it.
func matrixRig(t *testing.T) (*rig, []asker) {
	t.Helper()
	hashes := map[string]string{}
	var rules []access.Rule
	askers := []asker{{name: "nobody"}}
	for _, only := range []bool{false, true} {
		for _, role := range access.Roles() {
			a := asker{name: string(role), role: role, only: only}
			patterns := []string{"*"}
			if only {
				a.name, patterns = a.name+" lab-*", []string{"lab-*"}
			}
			a.token, hashes[a.name] = access.NewToken()
			rules = append(rules, access.Rule{Role: role, Name: a.name, Sources: patterns})
			askers = append(askers, a)
		}
	}
	askers = append(askers, asker{name: "admin, by another site", token: askers[4].token, role: access.Admin, from: "cross-site"})
	tokens, err := access.NewTokens(hashes)
	must(t, err)
	g, err := access.New(access.Config{Tokens: tokens, Rules: rules})
	must(t, err)
	box, db := newOutbox(t, 40, "clinic-a", "lab-1")
	return newRig(t, func(c *console.Config) { c.Guard, c.Outbox, c.Database = g.Wrap, box, db }), askers
}

// as makes a request as somebody, over the whole handler. What is kept up to date ends with its first
// line.
func (r *rig) as(a asker, method, path, form, accept string) *httptest.ResponseRecorder {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	req := httptest.NewRequestWithContext(ctx, method, "http://localhost"+path, strings.NewReader(form))
	req.RemoteAddr = "127.0.0.1:1"
	req.Header.Set("Accept", accept)
	for name, value := range map[string]string{"Authorization": "Bearer " + a.token, "Sec-Fetch-Site": a.from, "Content-Type": "application/x-www-form-urlencoded"} {
		if value != "" && value != "Bearer " && (method == http.MethodPost || name != "Content-Type") {
			req.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(once{w, cancel}, req)
	return w
}

// once ends a request when its answer was sent on.
type once struct {
	*httptest.ResponseRecorder
	end func()
}

func (o once) Flush() { o.end() }

// Each route refuses each role that it should, for the sources that it should, and no other; what it
// says names the role that is missing. A route without a row fails.
func TestConsole_RolesRoutesActions(t *testing.T) {
	t.Parallel()
	r, askers := matrixRig(t)
	r.bury(0, 21, "clinic-a", "lab-1", "clinic-a", "lab-1", "lab-1", "clinic-a", "clinic-a", "clinic-a", "clinic-a", "clinic-a", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1", "lab-1") // 1 and 10 are of the clinic, 2 and 20 of the lab
	routes := r.console.Routes()
	missing := r.console.Routes()
	var table strings.Builder
	fmt.Fprintf(&table, "%-30s %-9s %-9s", "route", "action", "source")
	for _, a := range askers {
		fmt.Fprintf(&table, " | %s", a.name)
	}
	for _, row := range matrix {
		action, there := routes[row.pattern]
		if delete(missing, row.pattern); !there {
			t.Errorf("there is no route %s", row.pattern)
		}
		for n, source := range []string{"clinic-a", "lab-1"} {
			if row.of != "some" && n > 0 {
				continue
			}
			fmt.Fprintf(&table, "\n%-30s %-9s %-9s", row.pattern, action, map[bool]string{true: source, false: row.of}[row.of == "some"])
			fill := strings.NewReplacer("%s", source, "%d", fmt.Sprint(n+1)).Replace
			for _, a := range askers {
				method, _, _ := strings.Cut(row.pattern, " ")
				w := r.as(a, method, fill(row.path), fill(row.form), "text/html")
				yes := map[bool]string{true: "yes", false: "no"}
				fmt.Fprintf(&table, " | %-*s", len(a.name), yes[passed(w)])
				if passed(w) != a.may(row, source) {
					t.Errorf("%s %s of %s: %d, want %s: %s", a.name, row.pattern, source, w.Code, yes[a.may(row, source)], w.Body)
				}
				if !passed(w) && a.role != "" && a.from == "" && !strings.Contains(w.Body.String(), "takes the role "+string(row.least)) {
					t.Errorf("%s %s: the refusal names no role: %s", a.name, row.pattern, w.Body)
				}
			}
		}
	}
	for pattern := range missing {
		t.Errorf("the matrix has no row for %s", pattern)
	}
	t.Logf("\n%s", &table)
	if deeds := r.deeds(audit.Replay, audit.Discard, audit.Reveal, audit.Edit, audit.Hold, audit.Release, audit.SourceAdd, audit.SourceSet, audit.SourceRemove, audit.Pause, audit.RowRetry, audit.RowDiscard); len(deeds) != 0 {
		t.Errorf("something was done: %+v", deeds)
	}
}

// passed reports whether who asks was let through to what they asked for.
func passed(w *httptest.ResponseRecorder) bool {
	login := w.Code == http.StatusSeeOther && strings.Contains(w.Header().Get("Location"), "sign-in")
	return !login && w.Code != http.StatusUnauthorized && w.Code != http.StatusForbidden
}

// Nothing that a viewer can ask for, by any route, as a page or as a program, tells one of a thousand
// secrets in bodies and hidden headers; nor does what an operator is told.
func TestConsole_ACrawlFindsNoSecret(t *testing.T) {
	t.Parallel()
	r, askers := matrixRig(t)
	const planted = 1000
	r.bury(0, planted, "clinic-a", "lab-1")
	asked, letters := 0, 0
	ask := func(a asker, method, path, form string) (page string) {
		for _, accept := range []string{asJSON, "text/html"} {
			w := r.as(a, method, path, form, accept)
			asked++
			page = w.Body.String() + fmt.Sprint(w.Header())
			if i := strings.Index(page, "Planted"); i >= 0 {
				t.Fatalf("%s is told at %s: %s", a.name, path, page[max(0, i-60):min(i+40, len(page))])
			}
		}
		return page
	}
	for _, a := range askers[1:3] { // a viewer and an operator
		for _, row := range matrix {
			for _, n := range []int{1, 500, planted} {
				method, _, _ := strings.Cut(row.pattern, " ")
				fill := strings.NewReplacer("%s", "clinic-a", "%d", fmt.Sprint(n)).Replace
				ask(a, method, fill(row.path), strings.ReplaceAll(fill(row.form), "count=1", "count=0"))
			}
		}
		for next := "dead?limit=100"; next != "" && a.role == access.Viewer; { // all of them, page by page
			page := ask(a, "GET", "/"+next, "")
			all := regexp.MustCompile(`href="(dead/\d+)"`).FindAllStringSubmatch(page, -1)
			letters += len(all)
			for i := 0; i < len(all); i += 50 {
				ask(a, "GET", "/"+all[i][1], "")
			}
			older := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(page)
			if next = ""; older != nil {
				next = html.UnescapeString(older[1])
			}
		}
	}
	if letters < planted {
		t.Errorf("%d dead letters were found", letters)
	}
	t.Logf("%d requests", asked)
}

// A console stands below a path of another mux, and behind a proxy that takes the path away: what leads
// from page to page, to sign in and back, stays below it.
func TestConsole_BelowAPath(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	tokens, err := access.NewTokens(map[string]string{"ann": hash})
	must(t, err)
	g, err := access.New(access.Config{Tokens: tokens, Rules: []access.Rule{{Role: access.Admin, Name: "*", Sources: []string{"*"}}}})
	must(t, err)
	r := newRig(t, func(c *console.Config) { c.Guard, c.Path = g.Wrap, "/ops/redox" })
	mux := http.NewServeMux()
	mux.Handle("/ops/redox/", r.console)
	whole, stripping := httptest.NewServer(mux), httptest.NewServer(http.StripPrefix("/ops/redox", r.console)) // as a proxy does
	defer whole.Close()
	defer stripping.Close()
	for what, server := range map[string]*httptest.Server{"in a mux": whole, "behind a proxy": stripping} {
		at, err := url.Parse(server.URL + "/ops/redox/dead?status=5xx")
		must(t, err)
		cookies := map[string]*http.Cookie{}
		step := func(method string, to string, form string) (status int, location string) {
			next, err := at.Parse(to)
			must(t, err)
			if !strings.HasPrefix(next.Path, "/ops/redox/") {
				t.Fatalf("%s: led to %s", what, next)
			}
			at = next
			req, err := http.NewRequestWithContext(t.Context(), method, at.String(), strings.NewReader(form))
			must(t, err)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			for _, c := range cookies {
				req.AddCookie(c)
			}
			w, err := server.Client().Transport.RoundTrip(req)
			must(t, err)
			must(t, w.Body.Close())
			for _, c := range w.Cookies() {
				if cookies[c.Name] = c; c.MaxAge < 0 {
					delete(cookies, c.Name)
				}
			}
			return w.StatusCode, w.Header.Get("Location")
		}
		_, to := step("GET", "", "")
		if status, _ := step("GET", to, ""); status != http.StatusOK {
			t.Fatalf("%s: the page to sign in: %d", what, status)
		}
		_, to = step("POST", "sign-in", "next="+url.QueryEscape("dead?status=5xx")+"&secret="+token)
		if status, _ := step("GET", to, ""); status != http.StatusOK || at.Path != "/ops/redox/dead" || at.RawQuery != "status=5xx" {
			t.Errorf("%s: %d at %s", what, status, at)
		}
		if status, _ := step("GET", "./static/console.css", ""); status != http.StatusOK {
			t.Errorf("%s: the style: %d", what, status)
		}
		_, to = step("POST", "../sign-out", "")
		if status, _ := step("GET", to, ""); status != http.StatusOK || at.Path != "/ops/redox/sign-in" {
			t.Errorf("%s: signed out to %s: %d", what, at, status)
		}
	}
}
