package redox

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestDeliver_UnknownKindIsPoison(t *testing.T) {
	t.Parallel()
	m := message(contract.LaneSend, event)
	m.Kind = "gopher"
	_, err := client(t, "http://127.0.0.1:1", &keyring{}).Deliver(t.Context(), m)
	if e := failure(t, err); !e.Poison() || e.Attempted() || strings.Contains(err.Error(), "gopher") {
		t.Errorf("%+v", e)
	}
}

func TestDeliver_UnknownSourceWaits(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1", &keyring{})
	m := message(contract.LaneSend, event)
	m.Source = "clinic-b"
	_, err := c.Deliver(t.Context(), m)
	e := failure(t, err)
	if e.Permanent() || e.Poison() || e.Attempted() || !errors.Is(err, ErrUnknownSource) {
		t.Errorf("%+v", e)
	}
}

func TestDeliver_ConcurrentKeepsConnections(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 50
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, &keyring{}, using(transport(t, TransportConfig{Concurrency: callers})))
	var callersDone sync.WaitGroup
	for range callers {
		callersDone.Go(func() {
			for range each {
				a, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
				if err != nil || string(a.Body) != accepted {
					t.Errorf("%v %s", err, a.Body)
				}
			}
		})
	}
	callersDone.Wait()
	seen := r.seen()
	connections := map[string]bool{}
	for _, a := range seen {
		connections[a.remote] = true
		if a.body != sent {
			t.Fatalf("a body was mixed up: %s", a.body)
		}
	}
	if len(seen) != callers*each || len(connections) > 4*callers { // a dial may lose to a connection that came back
		t.Errorf("%d requests over %d connections", len(seen), len(connections))
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	c := client(t, "https://api.example:8443/x", &keyring{}, func(c *Config, _ *Source) { c.Group = "egress-1" })
	want := []string{"key:main", "group:egress-1", "host:api.example:8443"}
	if diff := cmp.Diff(want, c.Scopes("clinic-a")); diff != "" {
		t.Error(diff)
	}
	if got := c.Scopes("nobody"); got != nil {
		t.Error(got)
	}
}

func TestHostScope(t *testing.T) { // not parallel: it counts allocations
	c := client(t, "https://api.example:8443/x", &keyring{}, func(c *Config, _ *Source) { c.BlobURL = "https://blob.example/y" })
	for kind, want := range map[outbox.Kind]string{
		"": "host:api.example:8443", outbox.KindDataModel: "host:api.example:8443", outbox.KindFHIR: "host:api.example:8443",
		outbox.KindPlatform: "host:api.example:8443", outbox.KindFile: "host:blob.example",
	} {
		if got := c.HostScope(outbox.Message{Kind: kind}); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	with := client(t, "https://api.example", &keyring{}, func(c *Config, _ *Source) {
		c.BlobURL, c.Offload = "https://blob.example", Offload{Enabled: true, Over: 10}
	})
	for name, tc := range map[string]struct {
		m    outbox.Message
		want string
	}{
		"small":               {outbox.Message{Body: make([]byte, 10)}, "host:api.example"},
		"large, with a file":  {outbox.Message{Kind: outbox.KindDataModel, Body: []byte(model("Media", `"Media":{}`))}, "host:blob.example"},
		"large, without":      {outbox.Message{Body: []byte(event)}, "host:api.example"},
		"large, and broken":   {outbox.Message{Body: make([]byte, 11)}, "host:api.example"},
		"in the object store": {outbox.Message{BodyObject: "clinic-a/x"}, "host:blob.example"},
		"FHIR with data":      {outbox.Message{Source: "clinic-a", Kind: outbox.KindFHIR, Path: "s/Development/Media", Body: []byte(`{"content":{"data":"YQ=="}}`)}, "host:blob.example"},
		"FHIR without":        {outbox.Message{Source: "clinic-a", Kind: outbox.KindFHIR, Path: "s/Development/Media", Body: []byte(`{"content":{"url":"u"}}`)}, "host:api.example"},
		"FHIR, a search":      {outbox.Message{Source: "clinic-a", Kind: outbox.KindFHIR, Path: "s/Development/Media/_search", Body: []byte(`family="data"`)}, "host:api.example"},
		"FHIR in the store":   {outbox.Message{Source: "clinic-a", Kind: outbox.KindFHIR, Path: "s/Development/Media", BodyObject: "clinic-a/x"}, "host:blob.example"},
		"FHIR, a file there":  {outbox.Message{Source: "clinic-a", Kind: outbox.KindFHIR, Path: "s/Development/Binary", ContentType: "application/pdf", BodyObject: "clinic-a/x"}, "host:api.example"},
		"large, of FHIR":      {outbox.Message{Kind: outbox.KindFHIR, Body: make([]byte, 11)}, "host:api.example"},
	} {
		if got := with.HostScope(tc.m); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	m := outbox.Message{Kind: outbox.KindFile}
	if n := testing.AllocsPerRun(100, func() { _ = c.HostScope(m) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNew_NamesEveryProblem(t *testing.T) {
	t.Parallel()
	keys := map[string]Credentials{"main": &keyring{}}
	_, err := New(map[string]Source{
		"a": {},
		"b": {ID: "x y", Key: "nope", Environment: "Production"},
		"c": {ID: sourceID, Key: "main", Environment: "production"},
	}, keys, Config{BaseURL: "http://api.example", BlobURL: "ftp://blob.example", Timeout: -2, MaxBody: -2, MaxAnswer: -2, UserAgent: "a\nb"})
	want := `redox: BaseURL: http to api.example would show the token; use https
redox: BlobURL: use scheme, host and path only, like https://api.redoxengine.com
redox: Timeout: -2ns; use more than 0s, or -1 for none
redox: MaxBody: -2; use 1 or more, or -1 for no limit
redox: MaxAnswer: -2; use 1 or more, or -1 for no limit
redox: UserAgent: has characters that no header may have
redox: source a: ID is empty; set the Source ID that Redox shows for it
redox: source a: Key is empty; name one of the keys
redox: source a: Environment: ""; use development, staging or production
redox: source b: ID: use letters, digits and -
redox: source b: Key: there are no credentials named "nope"
redox: source b: Environment: "Production"; use development, staging or production`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

func TestConfig_BaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://api.redoxengine.com":      "https://api.redoxengine.com/endpoint",
		"https://api.ca.redoxengine.com/":  "https://api.ca.redoxengine.com/endpoint",
		"https://gw.example/redox":         "https://gw.example/redox/endpoint",
		"http://localhost:8080":            "http://localhost:8080/endpoint",
		"http://127.0.0.1:8080":            "http://127.0.0.1:8080/endpoint",
		"http://[::1]:8080":                "http://[::1]:8080/endpoint",
		"http://api.redoxengine.com":       "",
		"http://127.0.0.1.example":         "",
		"ftp://api.redoxengine.com":        "",
		"api.redoxengine.com":              "",
		"https://user:secret@host.example": "",
		"https://host.example?x=1":         "",
		"https://host.example#x":           "",
		"https://":                         "",
		"https://a b":                      "",
		"":                                 "",
	} {
		u, err := join("BaseURL", base, "EndpointPath", "/endpoint")
		switch {
		case want == "" && err == nil:
			t.Errorf("%q was taken as %s", base, u)
		case want == "" && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error shows the password: %v", err)
		case want != "" && (err != nil || u.String() != want || u.RequestURI()[0] != '/'):
			t.Errorf("%q: %v %v", base, u, err)
		}
	}
	for _, path := range []string{"", "endpoint", "//host/x", "/x?y=1", "/x#y", "/%zz"} {
		if u, err := join("BaseURL", "https://h.example", "EndpointPath", path); err == nil {
			t.Errorf("path %q was taken as %s", path, u)
		}
	}
}

func TestConfig_Defaults(t *testing.T) {
	t.Parallel()
	c := Config{}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Timeout.String() != "2m30s" || c.MaxBody != 10_000_000 || c.MaxAnswer != 40_000_000 || c.Group != "default" || c.Logger == nil {
		t.Errorf("%+v", c)
	}
	set := Config{BaseURL: "https://x.example", Timeout: -1, MaxBody: 7}.WithDefaults()
	if set.BaseURL != "https://x.example" || set.Timeout != -1 || set.MaxBody != 7 {
		t.Errorf("%+v", set)
	}
	if err := set.Validate(); err != nil {
		t.Error(err)
	}
}

func TestClose_LeavesAGivenTransportAlone(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	tr := transport(t, TransportConfig{})
	given := client(t, r.URL, &keyring{}, using(tr))
	for range 2 {
		if _, err := given.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
			t.Fatal(err)
		}
		given.Close()
	}
	seen := r.seen()
	if seen[0].remote != seen[1].remote {
		t.Error("Close closed the connections of a transport that is not the client's")
	}
	own := client(t, r.URL, &keyring{})
	for range 2 {
		if _, err := own.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
			t.Fatal(err)
		}
		own.Close()
	}
	seen = r.seen()
	if seen[2].remote == seen[3].remote {
		t.Error("Close did not close the client's own connections")
	}
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
