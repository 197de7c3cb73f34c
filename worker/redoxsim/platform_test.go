package redoxsim

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/fhirpath"
)

// platformRig has a user-level key besides the organization's.
func platformRig(t *testing.T, sim *Server) *rig {
	g := newRig(t, sim)
	if err := g.sim.AddUserKey("user", testKid, ecKey().Public()); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) logState(organization, id string) received {
	g.t.Helper()
	h := http.Header{"Authorization": {"Bearer " + g.sim.NewToken("user", 0)}}
	return g.do(http.MethodGet, PathPlatform+"organizations/"+organization+"/logs/"+id, "", h)
}

func TestPlatform_LogState(t *testing.T) {
	t.Parallel()
	g := platformRig(t, &Server{Organization: "123"})
	g.send(keyed("m", ""))
	id := g.last().LogIDs[0]
	r := g.logState("123", id)
	if r.status != 200 || r.body != `{"id":"`+id+`","attempts":{"total":1,"latest":{"status":"succeeded"}}}` ||
		!strings.HasPrefix(r.header.Get("Content-Type"), "application/json") {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, state := range []LogState{LogPending, LogFailed, LogFiltered, LogSucceeded} {
		if err := g.sim.SetLog(id, state, 3); err != nil {
			t.Fatal(err)
		}
		var a platformLog
		g.logState("123", id).json(t, &a)
		if a.Attempts.Total != 3 || a.Attempts.Latest.Status != state {
			t.Errorf("%s: %+v", state, a)
		}
	}
	for name, c := range map[string]struct {
		path string
		want int
	}{
		"another organization": {"organizations/124/logs/" + id, 403},
		"unknown log":          {"organizations/123/logs/" + uuid(), 404},
		"no log":               {"organizations/123/logs/", 404},
		"list of logs":         {"organizations/123/logs", 404},
		"more":                 {"organizations/123/logs/" + id + "/attempts", 404},
		"another thing":        {"environments/123/logs/" + id, 404},
		"upper case":           {"Organizations/123/logs/" + id, 404},
		"escaped":              {"organizations/123/logs/a%2F" + id, 404},
	} {
		h := http.Header{"Authorization": {"Bearer " + g.sim.NewToken("user", 0)}}
		if r := g.do(http.MethodGet, PathPlatform+c.path, "", h); r.status != c.want {
			t.Errorf("%s: %d, want %d", name, r.status, c.want)
		}
	}
	if r := g.do(http.MethodPost, PathPlatform+"organizations/123/logs/"+id, "{}", bearer(g.sim.NewToken("user", 0))); r.status != 404 {
		t.Errorf("POST: %d", r.status)
	}
	if a := g.last(); a.Accepted {
		t.Errorf("%+v", a)
	}
}

// A user's token comes from the same call as the others, and is good for the Platform API alone.
func TestPlatform_LevelsOfKeys(t *testing.T) {
	t.Parallel()
	g := platformRig(t, nil)
	g.send(keyed("m", ""))
	id := g.last().LogIDs[0]
	granted := tokenAnswer{}
	g.askToken(sign(t, jwt.SigningMethodES384, ecKey(), nil, goodClaims("user", g.url+PathToken, time.Now()))).json(t, &granted)
	user, organization := "Bearer "+granted.AccessToken, "Bearer "+g.token()
	file, fileType := form("file", "f", "x")
	for name, c := range map[string]struct {
		method, path, text, contentType string
		forUser                         bool
	}{
		"platform":   {"GET", PathPlatform + "organizations/1/logs/" + id, "", "", true},
		"data model": {"POST", PathEndpoint, keyed("m", ""), "application/json", false},
		"fhir":       {"GET", PathFHIR + "a/Staging/Patient/1", "", "", false},
		"upload":     {"POST", PathUpload, file, fileType, false},
	} {
		for _, token := range []string{user, organization} {
			h := http.Header{"Authorization": {token}}
			if c.contentType != "" {
				h.Set("Content-Type", c.contentType)
			}
			r := g.do(c.method, c.path, c.text, h)
			if refused := r.status == 401; refused == (c.forUser == (token == user)) || !refused && r.status > 201 {
				t.Errorf("%s, user %t: %d %s", name, token == user, r.status, r.body)
			}
		}
	}
}

func TestPlatform_LogsAppearLate(t *testing.T) {
	t.Parallel()
	clk := newClock()
	g := platformRig(t, &Server{Now: clk.now, LogLag: 2 * time.Second})
	g.send(keyed("m", ""))
	id := g.last().LogIDs[0]
	if r := g.logState("1", id); r.status != 404 {
		t.Errorf("at once: %d", r.status)
	}
	clk.add(2 * time.Second)
	if r := g.logState("1", id); r.status != 200 {
		t.Errorf("later: %d", r.status)
	}
}

func TestPlatform_AdminKeys(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	set := string(publicJWKS(t, false, map[string]any{"k": ecKey()}))
	for query, want := range map[string]int{"client_id=u&level=user": 200, "client_id=o": 200, "client_id=x&level=boss": 400, "client_id=" + testClient + "&level=user": 400} {
		if r := g.do(http.MethodPost, "/_sim/keys?"+query, set, jsonHeader); r.status != want {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	if g.sim.dir.kindOf("u") != userKey || g.sim.dir.kindOf("o") != orgKey {
		t.Error("wrong levels")
	}
}

func FuzzParsePlatformPath(f *testing.F) {
	f.Add(PathPlatform + "organizations/1/logs/2")
	f.Add(PathPlatform + "organizations/%2e%2e/logs/2")
	f.Fuzz(func(t *testing.T, path string) {
		organization, log, ok := parsePlatformPath(path)
		if ok && (!fhirpath.Plain(organization) || !fhirpath.Plain(log)) {
			t.Fatalf("%q: %q %q", path, organization, log)
		}
	})
}
