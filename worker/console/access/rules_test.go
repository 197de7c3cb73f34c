package access

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth/secret"
)

func TestParseRule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rule{
		"ann":                             {Name: "ann", Sources: []string{"*"}},
		"*":                               {Name: "*", Sources: []string{"*"}},
		" ann@hospital for clinic-* lab ": {Name: "ann@hospital", Sources: []string{"clinic-*", "lab"}},
		"group:CN=Redox Ops,DC=x for a":   {Group: "CN=Redox Ops,DC=x", Sources: []string{"a"}},
		"group:all for one for a":         {Group: "all for one", Sources: []string{"a"}},
	} {
		want.Role = Viewer
		got, err := ParseRule(Viewer, text)
		if err != nil || got.Name != want.Name || got.Group != want.Group || !slices.Equal(got.Sources, want.Sources) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " ", "group:", "group: for a", "ann for  ", "ann for ["} {
		if rule, err := ParseRule(Viewer, text); err == nil {
			t.Errorf("%q is %+v", text, rule)
		}
	}
	if _, err := ParseRule("root", "ann"); err == nil {
		t.Error("a role that is none")
	}
}

// Rules add up; a group that gives nothing gives nothing.
func TestGrants(t *testing.T) {
	t.Parallel()
	all := rules(t)
	u := User{Name: "ann", Grants: grants(all, Identity{Name: "ann", Groups: []string{"ann", "group:redox ops", "Redox Ops"}})}
	if !u.May(See, "") || !u.May(Replay, "clinic-a") || u.May(Replay, "") || u.May(Replay, "other") || u.May(Reveal, "clinic-a") {
		t.Errorf("%+v", u)
	}
	if g := grants(all, Identity{Name: "redox ops"}); len(g) != 0 {
		t.Errorf("a user whose name is that of a group has %v", g)
	}
	if g := known(all, []string{"a", "redox ops", "redox ops", "b"}); !slices.Equal(g, []string{"redox ops"}) {
		t.Errorf("kept %v", g)
	}
}

// A refusal names who, what, where, the role that it takes, and what they have.
func TestRefusal_NamesTheRole(t *testing.T) {
	t.Parallel()
	u := User{Name: "ann", Grants: grants(rules(t), Identity{Name: "ann"})}
	for _, a := range Actions() {
		err := u.Check(a, "pharmacy")
		refusal, refused := errors.AsType[*Refusal](err)
		if refused == u.May(a, "pharmacy") {
			t.Errorf("%s: %v", a, err)
		}
		if !refused {
			continue
		}
		for _, part := range []string{"ann may not " + deeds[a], "role " + string(a.Least()), "for pharmacy", "they are operator for clinic-* lab, viewer"} {
			if deeds[a] == "" || !strings.Contains(refusal.Error(), part) {
				t.Errorf("%s: %q is not in %q", a, part, refusal)
			}
		}
	}
	if err := (User{Name: "eve"}).Check(See, ""); err == nil || !strings.Contains(err.Error(), "viewer for all sources, and they have no role") {
		t.Errorf("%v", err)
	}
}

func TestReadPasswords(t *testing.T) {
	t.Parallel()
	const hash = "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	if p, err := ReadPasswords([]byte("# users\n\nann:" + hash + "\r\nbob:" + hash + "\n")); err != nil || len(p.hashes) != 2 {
		t.Errorf("%v", err)
	} else if _, ok := p.check("ann", strings.Repeat("x", 100)); ok {
		t.Error("a password that is too long")
	}
	for text, says := range map[string]string{
		"": "nobody could", "ann:" + hash + "\nann:" + hash: "line 2: the name is there twice", "ann:{SHA}hush": "line 1: the hash is not one of bcrypt", "ann:hush": "bcrypt", ":" + hash: "no name",
		"ann:" + strings.Replace(hash, "$05", "$20", 1): "costs 20", "an\x01n:" + hash: "no name",
	} {
		if _, err := ReadPasswords([]byte(text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	all, _ := tokens(t, "ann")
	for says, cfg := range map[string]Config{
		"0 ways to sign in":   {},
		"2 ways to sign in":   {Tokens: all, Authenticator: Local{}},
		"PublicURL is empty":  {Redirector: &elsewhere{}},
		"PublicURL is not":    {Tokens: all, PublicURL: "ops.example"},
		"at most 24h":         {Tokens: all, Session: 1 << 60},
		"names nobody":        {Tokens: all, Rules: []Rule{{Role: Viewer, Sources: []string{"*"}}}},
		"names no source":     {Tokens: all, Rules: []Rule{{Role: Viewer, Name: "ann"}}},
		"at least 32 random":  {Tokens: all, SessionKeys: []secret.Text{secret.New("short")}},
		`is none of [viewer`:  {Tokens: all, Rules: []Rule{{Role: "root", Name: "ann", Sources: []string{"*"}}}},
		`is not a pattern of`: {Tokens: all, Rules: []Rule{{Role: Viewer, Name: "ann", Sources: []string{"["}}}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	for hash, says := range map[string]string{"": "is none", "sha256:00": "is none", "hush": "is none"} {
		if _, err := NewTokens(map[string]string{"ann": hash}); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", hash, err)
		}
	}
	if _, err := NewTokens(nil); err == nil {
		t.Error("no token")
	}
	if _, err := ParseProxies([]string{"proxy"}); err == nil {
		t.Error("a proxy by name")
	}
}
