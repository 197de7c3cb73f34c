package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

const (
	sourceB = "8ce6f387-c33c-417d-8682-81e83628cbd9"
	sourceC = "9ce6f387-c33c-417d-8682-81e83628cbd9"
	sourceD = "ace6f387-c33c-417d-8682-81e83628cbd9"
)

// addLegacy configures a legacy key and a source on it that names no Source ID, and makes
// both known to the simulated Redox.
func (s *stage) addLegacy(source, apiKey, id string) {
	s.Helper()
	s.configure("  # more keys", fmt.Sprintf("  key-of-%s: {type: legacy, api_key: %s, secret: s3cr3t}\n", source, apiKey))
	s.configure("  # more sources", fmt.Sprintf("  %s: {key: key-of-%s}\n", source, source))
	s.sim.AddLegacyKey(apiKey, "s3cr3t")
	s.sim.AddSource(redoxsim.Source{ID: id, Keys: []string{apiKey}})
}

// Which key may send what: the wrong ones are rejected without a request to Redox.
func TestRun_KeysAndKinds(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	s.sim.AddSource(redoxsim.Source{ID: sourceID})
	s.addLegacy("clinic-old", "api-key-1", sourceC)
	user := s.generate("user")
	s.addKey("people", "user-client", user)
	s.reconfigure("people: {", "people: {type: user, ")
	s.configure("  # more sources", "  platform: {key: people}\n")
	if err := s.sim.AddUserKey("user-client", "user", user.Public()); err != nil {
		t.Fatal(err)
	}
	r := s.run()
	p := s.publisher()
	fhir := outbox.Message{Kind: outbox.KindFHIR, Method: http.MethodGet, Path: "/redox-fhir-sandbox/Development/Patient/1", Lane: contract.LaneRequest}
	platform := outbox.Message{Kind: outbox.KindPlatform, Method: http.MethodGet, Path: "/v1/organizations/1/logs", Lane: contract.LaneRequest}
	model := outbox.Message{Lane: contract.LaneSend, Body: admit("x")}
	for _, tc := range []struct {
		source string
		m      outbox.Message
		want   string // "" when the key goes with it
	}{
		{"clinic-a", model, ""},
		{"clinic-a", fhir, ""},
		{"clinic-a", platform, "kind platform does not go with the source's key of type oauth: send it from a source with a user-level key"},
		{"clinic-old", model, ""},
		{"clinic-old", fhir, "kind fhir does not go with the source's key of type legacy: give the source an OAuth key"},
		{"clinic-old", platform, "kind platform does not go with the source's key of type legacy: send it from a source with a user-level key"},
		{"platform", platform, ""},
		{"platform", model, "kind data-model does not go with the source's key of type user: send it from a source with an OAuth key"},
		{"platform", fhir, "kind fhir does not go with the source's key of type user: send it from a source with an OAuth key"},
	} {
		tc.m.Source = tc.source
		before := len(s.sim.Arrivals())
		reply, err := p.Request(t.Context(), tc.m)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("%s with kind %q", tc.source, tc.m.Kind)
		if tc.want == "" {
			if reply.Status == 0 || reply.Status == http.StatusUnauthorized || strings.Contains(reply.Error, "does not go with") {
				t.Errorf("%s: settled %s with status %d: %s", name, reply.Settlement, reply.Status, reply.Error)
			}
			continue
		}
		if reply.Settlement != outbox.Rejected || reply.Attempts != 0 || !strings.Contains(reply.Error, tc.want) {
			t.Errorf("%s: settled %s after %d attempts: %s", name, reply.Settlement, reply.Attempts, reply.Error)
		}
		if n := len(s.sim.Arrivals()); n != before {
			t.Errorf("%s: %d requests were spent on it", name, n-before)
		}
	}
	s.drained(r.err.String)
	for _, a := range s.sim.Arrivals() {
		if a.Token == redoxsim.TokenMisused {
			t.Errorf("%s was asked with a key that is not for it", a.Path)
		}
	}
}

// Keys and sources of every environment in one worker: each message goes out under its own
// source's ID and key, whatever else is configured.
func TestRun_SeveralKeysSourcesAndEnvironments(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{RequireSource: true}, "")
	s.sim.AddSource(redoxsim.Source{ID: sourceID, Keys: []string{clientID}})
	s.sim.AddSource(redoxsim.Source{ID: sourceB, Keys: []string{clientID, "second-client"}})
	s.sim.AddSource(redoxsim.Source{ID: sourceC, Keys: []string{"staging-client"}})
	s.sim.AddSource(redoxsim.Source{ID: sourceD, Keys: []string{"production-client"}})
	for _, name := range []string{"second", "staging", "production"} {
		key := s.generate(name)
		s.addKey(name, name+"-client", key)
		if err := s.sim.AddOAuthKey(name+"-client", name, key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	s.addSource("clinic-b", sourceB, "main")
	s.addSource("clinic-b2", sourceB, "second")
	s.addSource("clinic-c", sourceC, "staging, environment: staging")
	s.addSource("clinic-d", sourceD, "production, environment: production")
	r := s.run()
	p := s.publisher()
	ids := map[string]string{"clinic-a": sourceID, "clinic-b": sourceB, "clinic-b2": sourceB, "clinic-c": sourceC, "clinic-d": sourceD}
	for source := range ids {
		body := admit(source)
		if source == "clinic-d" {
			body = []byte(strings.Replace(string(body), `"Test":true`, `"Test":false`, 1))
		}
		reply, err := p.Request(t.Context(), outbox.Message{Source: source, Lane: contract.LaneSend, Body: body})
		if err != nil || !reply.OK() {
			t.Errorf("%s: settled %s with %d: %s, %v", source, reply.Settlement, reply.Status, reply.Error, err)
		}
	}
	for _, a := range s.messages() {
		if want := ids[a.Key]; a.HeaderSource != want || a.BodySource != want || a.Status != http.StatusOK {
			t.Errorf("%s: header %s, body %s, status %d; want %s in both", a.Key, a.HeaderSource, a.BodySource, a.Status, want)
		}
	}
	// A test message does not reach production.
	before := len(s.messages())
	reply, err := p.Request(t.Context(), outbox.Message{Source: "clinic-d", Lane: contract.LaneSend, Body: admit("test")})
	if err != nil || reply.Settlement != outbox.Rejected || !strings.Contains(reply.Error, "Meta.Test is true and the source is a production source") {
		t.Errorf("settled %s: %s, %v", reply.Settlement, reply.Error, err)
	}
	// Nor a FHIR path of another environment.
	reply, err = p.Request(t.Context(), outbox.Message{Source: "clinic-d", Lane: contract.LaneRequest, Kind: outbox.KindFHIR, Method: http.MethodGet, Path: "/redox-fhir-sandbox/Development/Patient/1"})
	if err != nil || reply.Settlement != outbox.Rejected || reply.Attempts != 0 {
		t.Errorf("settled %s: %s, %v", reply.Settlement, reply.Error, err)
	}
	if n := len(s.messages()); n != before {
		t.Errorf("%d requests were made with test data in production", n-before)
	}
	s.drained(r.err.String)
}

// bearers collects the tokens that messages come with.
type bearers struct {
	mu   sync.Mutex
	seen map[string]int
}

func (b *bearers) watch(r redoxsim.Request) *redoxsim.Fault {
	if r.Path == redoxsim.PathEndpoint {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.seen == nil {
			b.seen = map[string]int{}
		}
		b.seen[r.Header.Get("Authorization")]++
	}
	return nil
}

// How many tokens serve 60 messages: one, several that are spread, or one for each.
func TestRun_TokensByMode(t *testing.T) {
	t.Parallel()
	const n = 60
	for name, tc := range map[string]struct {
		option string
		want   int
	}{"cached": {"", 1}, "pool": {"pool: 4, ", 4}, "per-request": {"mode: per-request, ", n}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			option, want := tc.option, tc.want
			b := &bearers{}
			s := newStage(t, &redoxsim.Server{Fault: b.watch}, "")
			s.configure("private_key_file: ", option)
			r := s.run()
			if want < n { // the messages must not be faster than the tokens
				s.eventually("all tokens", func() bool { return s.sim.Stats().TokensIssued == uint64(want) }, r.err.String)
			}
			p := s.publisher()
			s.publish(p, "clinic-a", "m", n)
			s.drained(r.err.String)
			s.deliveredAtFirst("clinic-a", "m", n)
			if got := len(b.seen); got != want {
				t.Errorf("%d tokens served, want %d", got, want)
			}
			for token, times := range b.seen {
				if want < n && times < n/want/2 {
					t.Errorf("one of %d tokens served %d messages of %d: not spread", want, times, n)
				}
				if want == n && times != 1 {
					t.Errorf("a token of one request served %d", times)
				}
				if token == "" {
					t.Error("a message came without a token")
				}
			}
			if issued := s.sim.Stats().TokensIssued; issued != uint64(want) {
				t.Errorf("%d tokens were asked for, want %d", issued, want)
			}
		})
	}
}

// audience, scope and algorithm are options of a key.
func TestRun_KeyOptionsReachTheServer(t *testing.T) {
	t.Parallel()
	const audience = "https://issuer.example/oauth"
	s := newStage(t, &redoxsim.Server{Audiences: []string{audience}}, "")
	s.configure("private_key_file: ", "audience: "+audience+", scope: fhir:development, algorithm: RS384, ")
	r := s.run()
	p := s.publisher()
	s.publish(p, "clinic-a", "m", 3)
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-a", "m", 3)
	r.stop()

	var out, errs output
	app := cli.App{Args: []string{"token", "--config", s.config, "--json"}, Stdout: &out, Stderr: &errs, Stdin: strings.NewReader("")}
	var report struct{ Scope string }
	if code := run(t.Context(), app); code != cli.ExitOK || json.Unmarshal([]byte(out.String()), &report) != nil || report.Scope != "fhir:development" {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	s.reconfigure("algorithm: RS384", "algorithm: ES384")
	var refused output
	app.Stdout, app.Stderr = &output{}, &refused
	if code := run(t.Context(), app); code != cli.ExitUsage || !strings.Contains(refused.String(), "keys.main: ") || !strings.Contains(refused.String(), "cannot sign ES384, it is good for PS256, PS384, PS512, RS256, RS384 or RS512: change one of the two") {
		t.Errorf("exit %d: %s", code, refused.String())
	}
}
