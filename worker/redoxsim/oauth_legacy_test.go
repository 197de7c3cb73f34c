package redoxsim

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

func (g *rig) login(path, text string) (received, legacyAnswer) {
	g.t.Helper()
	r := g.do(http.MethodPost, path, text, jsonHeader)
	var a legacyAnswer
	if r.status == 200 {
		r.json(g.t, &a)
	}
	return r, a
}

func TestLegacy_AuthenticateAndRefresh(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim := &Server{Now: clk.now}
	sim.AddLegacyKey("k", "s")
	g := bareRig(t, sim)
	_, first := g.login(PathAuthenticate, `{"apiKey":"k","secret":"s"}`)
	if first.Expires != "2026-01-03T03:04:05.000Z" || len(first.AccessToken) != 36 || len(first.RefreshToken) != 36 {
		t.Fatalf("%+v", first)
	}
	send := func(token string) int {
		return g.do(http.MethodPost, PathEndpoint, body("Results.New", `"Destinations":[{"ID":"d"}]`, ""), bearer(token)).status
	}
	if got := send(first.AccessToken); got != 200 {
		t.Errorf("fresh token: %d", got)
	}
	clk.add(24 * time.Hour)
	if got := send(first.AccessToken); got != 401 {
		t.Errorf("token of yesterday: %d", got)
	}
	r, second := g.login(PathRefresh, `{"apiKey":"k","refreshToken":"`+first.RefreshToken+`"}`)
	if r.status != 200 || second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Fatalf("refresh after expiry: %d %+v", r.status, second)
	}
	if got := send(second.AccessToken); got != 200 {
		t.Errorf("refreshed token: %d", got)
	}
	if r, _ := g.login(PathRefresh, `{"apiKey":"k","refreshToken":"`+first.RefreshToken+`"}`); r.status != 401 {
		t.Errorf("a refresh token worked twice: %d", r.status)
	}
}

func TestLegacy_Refusals(t *testing.T) {
	t.Parallel()
	sim := &Server{}
	sim.AddLegacyKey("k", "old")
	sim.AddLegacyKey("k", "s")
	sim.AddLegacyKey("other", "o")
	g := bareRig(t, sim)
	_, mine := g.login(PathAuthenticate, `{"apiKey":"k","secret":"s"}`)
	for name, c := range map[string]struct{ path, text string }{
		"replaced secret":      {PathAuthenticate, `{"apiKey":"k","secret":"old"}`},
		"unknown key":          {PathAuthenticate, `{"apiKey":"x","secret":"s"}`},
		"empty secret":         {PathAuthenticate, `{"apiKey":"k","secret":""}`},
		"no secret":            {PathAuthenticate, `{"apiKey":"k"}`},
		"a list":               {PathAuthenticate, `["k","s"]`},
		"not JSON":             {PathAuthenticate, `apiKey=k&secret=s`},
		"unknown refresh":      {PathRefresh, `{"apiKey":"k","refreshToken":"x"}`},
		"refresh of another":   {PathRefresh, `{"apiKey":"other","refreshToken":"` + mine.RefreshToken + `"}`},
		"refresh by no key":    {PathRefresh, `{"refreshToken":"` + mine.RefreshToken + `"}`},
		"access token instead": {PathRefresh, `{"apiKey":"k","refreshToken":"` + mine.AccessToken + `"}`},
	} {
		r, _ := g.login(c.path, c.text)
		if r.status != 401 || r.body != "Invalid request" || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %q", name, r.status, r.body)
		}
	}
	form := g.do(http.MethodPost, PathAuthenticate, `{"apiKey":"k","secret":"s"}`, formType)
	if form.status != 401 {
		t.Errorf("form type: %d", form.status)
	}
	if r, _ := g.login(PathRefresh, `{"apiKey":"k","refreshToken":"`+mine.RefreshToken+`"}`); r.status != 200 {
		t.Errorf("the refresh token was used up by refusals: %d", r.status)
	}
}

func TestLegacy_SourceIsTheKeys(t *testing.T) {
	t.Parallel()
	sim := &Server{}
	sim.AddLegacyKey("k", "s")
	sim.AddSource(Source{ID: "mine", Keys: []string{"k"}})
	sim.AddSource(Source{ID: "shared"})
	g := bareRig(t, sim)
	_, a := g.login(PathAuthenticate, `{"apiKey":"k","secret":"s"}`)
	for source, want := range map[string]int{"": 200, "mine": 200, "shared": 401, "unknown": 401} {
		meta := `"Destinations":[{"ID":"d"}]`
		if source != "" {
			meta += `,"Source":{"ID":"` + source + `"}`
		}
		r := g.do(http.MethodPost, PathEndpoint, body("Results.New", meta, ""), bearer(a.AccessToken))
		if r.status != want || want == 401 && r.body != "This source is not authorized." {
			t.Errorf("source %q: %d %s", source, r.status, r.body)
		}
		if source == "" && g.last().Source != "mine" {
			t.Errorf("source in effect %q", g.last().Source)
		}
	}
}

func TestTokens_OldOnesAreForgotten(t *testing.T) {
	t.Parallel()
	clk := newClock()
	s := &Server{Now: clk.now}
	for range 10 {
		s.NewToken("c", 0)
		s.tokens.useOnce("c", uuid(), clk.now())
	}
	clk.add(2 * time.Hour)
	s.NewToken("c", 0)
	if n, used := len(s.tokens.tokens), len(s.tokens.used); n != 1 || used != 0 {
		t.Errorf("%d tokens and %d jtis kept", n, used)
	}
	if n := s.RevokeTokens(); n != 1 || s.liveTokens() != 0 {
		t.Errorf("revoked %d, live %d", n, s.liveTokens())
	}
}

func TestUUID_Shape(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := uuid()
		if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[14] != '4' || id[18] != '-' || id[23] != '-' ||
			!strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatalf("%q", id)
		}
		seen[id] = true
	}
}
