package config

import (
	"strings"
	"testing"
)

func TestCombine_ANameInTwoPlaces(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	registry := func(names ...string) (parts []Part) {
		for _, name := range names {
			parts = append(parts, SourcePart("registry "+name, name, Source{ID: "99999999-2222-3333-4444-555555555555", Key: "main"}))
		}
		return parts
	}
	b.write("a.yaml", sourceOfB)
	b.write("b.yaml", sourceOfB+"  clinic-d: {id: 11111111-2222-3333-4444-777777777777, key: main}\n  clinic-a: {id: 11111111-2222-3333-4444-888888888888, key: main}\n")
	s := b.look(registry("clinic-b", "clinic-e")...)
	b.expect(s, "clinic-a clinic-b clinic-d clinic-e",
		"b.yaml kept=false sources.clinic-a: is also in the main file, which wins; keep one of the two (b.yaml:4)",
		"b.yaml kept=false sources.clinic-b: is also in ", // its path
		"registry clinic-b kept=false sources.clinic-b: is also in ")
	if text := s.Refused[1].Problems[0].Text; !strings.HasSuffix(text, "/a.yaml, which wins") {
		t.Errorf("%q does not name the file that wins", text)
	}
	if s.From("clinic-b") != b.read.Parts[0].Name || s.From("clinic-e") != "registry clinic-e" {
		t.Errorf("clinic-b is from %s, clinic-e from %s", s.From("clinic-b"), s.From("clinic-e"))
	}
	b.remove("a.yaml") // the next in line has it now, and the registry after that
	b.expect(b.look(registry("clinic-b")...), "clinic-a clinic-b clinic-d", "b.yaml kept=false sources.clinic-a", "registry clinic-b kept=false sources.clinic-b")
	b.write("b.yaml", sourceOfC[:0]+"sources:\n  clinic-d: {id: 11111111-2222-3333-4444-777777777777, key: main}\n")
	s = b.look(registry("clinic-b")...)
	b.expect(s, "clinic-a clinic-b clinic-d")
	if s.From("clinic-b") != "registry clinic-b" {
		t.Errorf("clinic-b is from %s", s.From("clinic-b"))
	}
}

// TestCombine_AKeyOfTheSameName: no source is sent with the key of another file because that has the
// name of its own.
func TestCombine_AKeyOfTheSameName(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	b.write("b.yaml", keyExtra+sourceOfC)
	b.expect(b.look(), "clinic-a clinic-c")
	b.write("a.yaml", strings.ReplaceAll(keyExtra, "client-2", "client-3")+strings.ReplaceAll(sourceOfB, "main", "extra"))
	for range 2 {
		b.expect(b.look(), "clinic-a clinic-b", "b.yaml kept=false keys.extra: is also in ",
			"b.yaml kept=false sources.clinic-c.key: names keys.extra of its file, and another file has that name for a key of its own")
	}
	b.write("a.yaml", keyExtra+strings.ReplaceAll(sourceOfB, "main", "extra")) // the same key
	b.expect(b.look(), "clinic-a clinic-b clinic-c", "b.yaml kept=false keys.extra: is also in ")
	b.write("a.yaml", sourceOfB)
	b.expect(b.look(), "clinic-a clinic-b clinic-c")
}

func TestCombine_AKeyThatGoes(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	b.write("keys.yaml", keyExtra)
	b.write("c.yaml", sourceOfC+"  clinic-d: {id: 11111111-2222-3333-4444-777777777777, key: main}\n")
	b.expect(b.look(), "clinic-a clinic-c clinic-d")
	b.write("keys.yaml", strings.ReplaceAll(keyExtra, "kid-2", "kid-3"))
	if b.expect(b.look(), "clinic-a clinic-c clinic-d"); b.set.Config.Keys["extra"].KID != "kid-3" {
		t.Errorf("%+v", b.set.Config.Keys["extra"])
	}
	b.remove("keys.yaml")
	for range 2 { // what its last state has besides is served on
		b.expect(b.look(), "clinic-a clinic-d", `c.yaml kept=true sources.clinic-c.key: no key is called "extra"`)
	}
	b.write("keys.yaml", keyExtra)
	b.expect(b.look(), "clinic-a clinic-c clinic-d")
}

// TestCombine_OneMistakeBlamesOnePart: the other parts, and what they refer to, are as before.
func TestCombine_OneMistakeBlamesOnePart(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	b.write("a.yaml", keyExtra+sourceOfC)
	b.write("b.yaml", strings.ReplaceAll(sourceOfB, "main", "extra"))
	b.expect(b.look(), "clinic-a clinic-b clinic-c")
	b.write("a.yaml", keyExtra+strings.ReplaceAll(sourceOfC, "key: extra", "key: none"))
	b.expect(b.look(), "clinic-a clinic-b clinic-c", `a.yaml kept=true sources.clinic-c.key: no key is called "none"`)
	b.write("a.yaml", keyExtra+strings.ReplaceAll(sourceOfC, "key: extra", "key: extra, environment: production"))
	b.expect(b.look(), "clinic-a clinic-b clinic-c", "a.yaml kept=true sources.clinic-c.key: key extra already serves sources.clinic-b in development")
}

func TestSourcePart(t *testing.T) {
	t.Parallel()
	good := Source{ID: "7CE6F387-c33c-417d-8682-81e83628cbd9", Key: "main", Hold: []string{"Order.*"}}
	p := SourcePart("entry", "clinic-b", good)
	if s := p.Sources["clinic-b"]; len(p.Problems) > 0 || s.ID != strings.ToLower(good.ID) || s.Environment != EnvironmentDevelopment || s.OnUnknown != OnUnknownResend || len(s.Hold) != 1 {
		t.Errorf("%+v", p)
	}
	for want, change := range map[string]func(*Source){
		"sources.clinic-b.id":          func(s *Source) { s.ID = "x" },
		"sources.clinic-b.environment": func(s *Source) { s.Environment = "prod" },
		"sources.clinic-b.on_unknown":  func(s *Source) { s.OnUnknown = "x" },
		"sources.clinic-b.hold":        func(s *Source) { s.Hold = []string{"x"} },
	} {
		s := good
		change(&s)
		if p := SourcePart("entry", "clinic-b", s); len(p.Problems) != 1 || p.Problems[0].Key != want || p.Problems[0].Where != "entry" || p.Sources != nil {
			t.Errorf("%s: %+v", want, p)
		}
	}
	if p := SourcePart("entry", "Clinic", good); len(p.Problems) != 1 || p.Sources != nil {
		t.Errorf("%+v", p)
	}
}

func TestFixed(t *testing.T) {
	t.Parallel()
	one := mustLoad(t, Options{File: writeConfig(t, minimal)})
	other := mustLoad(t, Options{File: writeConfig(t, minimal+"  clinic-b: {id: 11111111-2222-3333-4444-555555555555, key: main}\n"+
		"nats: {token: x, replicas: 3}\nreply: {allow: [a, b]}\nworker: {concurrency: 9}\n")})
	if got := strings.Join(one.Fixed(other), " "); got != "nats.token nats.replicas worker.concurrency reply.allow" {
		t.Errorf("%s", got)
	}
	if got := one.Fixed(mustLoad(t, Options{File: writeConfig(t, minimal)})); got != nil {
		t.Errorf("%v", got)
	}
}

func TestSameKey(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal)
	load := func(flags map[string]any) *Config { return mustLoad(t, Options{File: file, Flags: flags}) }
	one := load(nil)
	write(t, strings.TrimSuffix(file, "/redoxworker.yaml"), "key.pem", newPEM(t)) // its watcher sees to that
	if !one.SameKey(load(nil), "main") {
		t.Error("another content of the key's file made it another key")
	}
	for _, change := range []map[string]any{{"keys.main.kid": "k"}, {"keys.main.client_id": "c"}, {"keys.main.pool": 2}, {"keys.main.private_key": newPEM(t)}} {
		if one.SameKey(load(change), "main") {
			t.Errorf("%v made no difference", change)
		}
	}
}
