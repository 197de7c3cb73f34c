package redoxsim

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// page reads one page of arrivals and where the next one begins.
func (g *rig) page(query string) (list []Arrival, next string) {
	g.t.Helper()
	r := g.do(http.MethodGet, "/_sim/arrivals"+query, "", nil)
	if r.status != 200 || r.header.Get("Content-Type") != "application/x-ndjson" {
		g.t.Fatalf("%d %v %s", r.status, r.header, r.body)
	}
	for lines := bufio.NewScanner(strings.NewReader(r.body)); lines.Scan(); {
		var a Arrival
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			g.t.Fatal(err)
		}
		list = append(list, a)
	}
	return list, r.header.Get("Sim-Next")
}

func TestControl_Arrivals(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for i := range 25 {
		g.send(keyed(fmt.Sprint("k", i%5), ""))
	}
	var got []Arrival
	for next := "0"; ; {
		list, after := g.page("?limit=10&after=" + next)
		if after == next {
			break
		}
		got, next = append(got, list...), after
	}
	// Only the monotonic clock and the location of times differ on the way.
	sameTime := cmp.Transformer("time", func(a Arrival) Arrival { a.Start, a.End = a.Start.UTC().Round(0), a.End.UTC().Round(0); return a })
	if diff := cmp.Diff(g.sim.Arrivals(), got, cmp.FilterPath(func(p cmp.Path) bool { return len(p) < 3 }, sameTime)); diff != "" {
		t.Error(diff)
	}
	for query, want := range map[string]int{
		"?key=k3": 5, "?source=" + testSource: 25, "?path=" + PathToken: 0, "?after=20": 5, "?after=999": 0, "": 25, "?key=k3&limit=5": 1,
	} {
		if list, _ := g.page(query); len(list) != want {
			t.Errorf("%q: %d arrivals, want %d", query, len(list), want)
		}
	}
	for _, query := range []string{"?after=x", "?limit=-1"} {
		if r := g.do(http.MethodGet, "/_sim/arrivals"+query, "", nil); r.status != 400 {
			t.Errorf("%s: %d", query, r.status)
		}
	}
}

func TestControl_SetUpFromOutside(t *testing.T) {
	t.Parallel()
	g := bareRig(t, &Server{})
	admin := func(method, route, text string) received { return g.do(method, PathAdmin+route, text, jsonHeader) }
	must := func(r received) {
		t.Helper()
		if r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	set := string(publicJWKS(t, false, map[string]any{testKid: rsaKey().Public()}))
	must(admin(http.MethodPost, "keys?client_id="+testClient, set))
	must(admin(http.MethodPost, "legacy", `{"apiKey":"k","secret":"s"}`))
	must(admin(http.MethodPost, "sources", `{"id":"`+testSource+`","name":"A","keys":["`+testClient+`"]}`))
	must(admin(http.MethodPost, "destinations", `{"id":"`+testDest+`","data_models":["Results"]}`))
	token := g.token()
	send := func(token, event string) int {
		return g.do(http.MethodPost, PathEndpoint, body(event, "", ""), bearer(token)).status
	}
	if got := []int{send(token, "Results.New"), send(token, "Notes.New")}; got[0] != 200 || got[1] != 403 {
		t.Errorf("%v", got)
	}
	if r, _ := g.login(PathAuthenticate, `{"apiKey":"k","secret":"s"}`); r.status != 200 {
		t.Errorf("legacy: %d", r.status)
	}
	var made struct {
		AccessToken string `json:"access_token"`
	}
	admin(http.MethodPost, "token?client_id="+testClient+"&ttl=1h", "").json(t, &made)
	if got := send(made.AccessToken, "Results.New"); got != 200 {
		t.Errorf("token by the admin route: %d", got)
	}
	var revoked struct{ Revoked int }
	admin(http.MethodPost, "revoke?owner="+testClient, "").json(t, &revoked)
	if got := send(token, "Results.New"); revoked.Revoked != 2 || got != 401 {
		t.Errorf("revoked %d, then %d", revoked.Revoked, got)
	}
	must(admin(http.MethodDelete, "keys?client_id="+testClient+"&kid="+testKid, ""))
	if r := g.askToken("x.y.z"); r.status != 400 {
		t.Errorf("withdrawn key: %d", r.status)
	}
	must(admin(http.MethodPost, "keys?client_id="+testClient+"&url=http://127.0.0.1:1/", ""))
	must(admin(http.MethodPost, "release", ""))
	must(admin(http.MethodPost, "reset", ""))
	if n := len(g.sim.Arrivals()); n != 0 {
		t.Errorf("%d arrivals after reset", n)
	}
}

func TestControl_Faults(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	set := func(text string) int { return g.do(http.MethodPost, "/_sim/fault", text, jsonHeader).status }
	for _, step := range []struct {
		text         string
		status, send int
		profile      string
	}{
		{`{"profile":"down"}`, 200, 503, "down"},
		{`{"rules":[{"event":"PatientAdmin.*","fault":"502"},{"fault":"500"}]}`, 200, 502, ""},
		{`{"profile":"none"}`, 200, 200, "none"},
		{`{"profile":"nonsense"}`, 400, 200, "none"},
		{`{"rules":[{"fault":"nonsense"}]}`, 400, 200, "none"},
		{`{"rule":[]}`, 400, 200, "none"},
		{``, 400, 200, "none"},
	} {
		if got := set(step.text); got != step.status {
			t.Errorf("%s: %d", step.text, got)
		}
		if r := g.send(keyed("m", "")); r.status != step.send {
			t.Errorf("after %s: %d, want %d", step.text, r.status, step.send)
		}
		var shown faultSetting
		g.do(http.MethodGet, "/_sim/fault", "", nil).json(t, &shown)
		if diff := cmp.Diff(Profiles(), shown.Profiles); diff != "" || shown.Profile != step.profile {
			t.Errorf("after %s: %q is in force %s", step.text, shown.Profile, diff)
		}
	}
}

func TestControl_RefusalsAndSilence(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for route, want := range map[string]int{
		"GET /_sim/":             404,
		"GET /_sim/reset":        404,
		"POST /_sim/stats":       404,
		"POST /_sim/keys":        400,
		"POST /_sim/legacy":      400,
		"POST /_sim/sources":     400,
		"POST /_sim/token?ttl=x": 400,
	} {
		method, path, _ := strings.Cut(route, " ")
		r := g.do(method, path, "{", nil)
		if r.status != want || !strings.Contains(r.body, `"error"`) {
			t.Errorf("%s: %d %s", route, r.status, r.body)
		}
	}
	if st := g.sim.Stats(); st.Requests != 0 || len(g.sim.Arrivals()) != 0 {
		t.Errorf("admin routes are counted: %+v", st)
	}
	off := newRig(t, &Server{NoAdmin: true})
	if r := off.do(http.MethodGet, "/_sim/stats", "", nil); r.status != 404 || off.sim.Stats().Requests != 1 {
		t.Errorf("NoAdmin: %d", r.status)
	}
}

// Whatever a simulator can be told in Go it can be told over HTTP, by the route that names the method; the list of
// routes is complete.
func TestControl_IsTheSameInGoAndOverHTTP(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	over := map[string]bool{"ServeHTTP": true, "Files": true} // these serve what others ask for
	for name, c := range controls {
		method, path, _ := strings.Cut(name, " ")
		line := regexp.MustCompile(`(?m)^//\t` + method + ` +` + regexp.QuoteMeta(PathAdmin+path) + `[ ?].*$`).FindString(string(text))
		if line == "" {
			t.Errorf("%s is not in the list of routes", name)
		}
		for _, m := range strings.Fields(c.methods) {
			over[m] = true
			if _, ok := reflect.TypeFor[*Server]().MethodByName(m); !ok {
				t.Errorf("%s: Server has no method %s", name, m)
			}
		}
	}
	for i := range reflect.TypeFor[*Server]().NumMethod() {
		if m := reflect.TypeFor[*Server]().Method(i).Name; !over[m] {
			t.Errorf("%s is in Go alone", m)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^//\t[A-Z]+ +`+PathAdmin).FindAll(text, -1)); n != len(controls) {
		t.Errorf("the list has %d routes, of %d", n, len(controls))
	}
}
