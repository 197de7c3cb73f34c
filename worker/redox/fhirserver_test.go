package redox

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// otherServer is the setting of a source for a FHIR server that is not Redox.
func otherServer(path string) setting {
	return func(c *Config, s *Source) { c.FHIRPath, s.NoSlugGuard, s.ID = path, true, "" }
}

// Without the guard a path begins with whatever the server has, below whatever it is below there.
func TestFHIR_OtherServers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ base, fhirPath, path, want string }{
		{"", "", "Patient/1", "/fhir/R4/Patient/1"},
		{"", "/", "metadata", "/metadata"},
		{"", "/4_0_1", "Patient?family=G", "/4_0_1/Patient?family=G"},
		{"", "/4_0_1/", "/Patient/1", "/4_0_1/Patient/1"},
		{"/interconnect", "/api/FHIR/R4", "Patient/1/_history/2", "/interconnect/api/FHIR/R4/Patient/1/_history/2"},
		{"/gw/", "/r4/tenant-1/", "$export", "/gw/r4/tenant-1/$export"},
		{"", "/baseR4/", "", "/baseR4"}, // the base itself, as for a transaction
		{"", "/baseR4", "?_getpages=1&_count=2", "/baseR4?_getpages=1&_count=2"},
		{"", "/baseR4", "/?_getpages=1", "/baseR4?_getpages=1"},
		{"", "/", "?_getpages=1", "/?_getpages=1"},
		{"", "", "slug/Production/Patient/1", "/fhir/R4/slug/Production/Patient/1"}, // of another environment
	} {
		r := serve(t, respond(200, patient, "Content-Type", "application/fhir+json"))
		c := client(t, r.URL+tc.base, &keyring{}, otherServer(tc.fhirPath))
		if _, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, "GET", tc.path, "")); err != nil {
			t.Errorf("%+v: %v", tc, err)
			continue
		}
		got := r.seen()[0]
		if got.path != tc.want || got.header.Get("Redox-Source-Id") != "" {
			t.Errorf("%+v: %s, source %q", tc, got.path, got.header.Get("Redox-Source-Id"))
		}
	}
}

// What leads out of the base is refused with the guard off, too.
func TestFHIR_OtherServersKeepTheirBase(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	c := client(t, r.URL, &keyring{}, otherServer("/api/"))
	for _, path := range []string{"../admin", "%2e%2e/admin", "//host/x", "Patient/../../x", "http://host.example/Patient", `\x`, "a/%2E%2e/%2e%2e/x"} {
		_, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, "GET", path, ""))
		if e := failure(t, err); !e.Poison() || len(r.seen()) != 0 {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// A link beside the API, as some servers have them to exports, says what helps, and that helps.
func TestFHIR_OtherServersLinks(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	m := fhir(contract.LaneRequest, "GET", r.URL+"/api/FHIR/BulkRequest/1", "")
	_, err := client(t, r.URL, &keyring{}, otherServer("/api/FHIR/R4/")).Deliver(t.Context(), m)
	if e := failure(t, err); !e.Poison() || !strings.HasSuffix(err.Error(), "set redox.fhir_path to what all of them begin with") || strings.Contains(err.Error(), "slug") {
		t.Errorf("%v", err)
	}
	if _, err := client(t, r.URL, &keyring{}, otherServer("/api/FHIR/")).Deliver(t.Context(), m); err != nil || r.seen()[0].path != "/api/FHIR/BulkRequest/1" {
		t.Errorf("%v", err)
	}
	// Pages as HAPI has them are at the base itself.
	m.Path = r.URL + "/api/FHIR/R4?_getpages=7c9e&_getpagesoffset=20"
	if _, err := client(t, r.URL, &keyring{}, otherServer("/api/FHIR/R4/")).Deliver(t.Context(), m); err != nil || r.seen()[1].path != "/api/FHIR/R4?_getpages=7c9e&_getpagesoffset=20" {
		t.Errorf("%v", err)
	}
}

// The token of another server is shown to nobody else: neither to Redox's endpoint nor to its
// file store, whatever the type of the key, and with an ID as well.
func TestDeliver_TheTokenOfAnotherServerIsForItAlone(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	withID := func(_ *Config, s *Source) { s.ID = sourceID }
	for _, set := range [][]setting{{otherServer("")}, {otherServer(""), withID}, {otherServer(""), keyType(KeyLegacy)}, {otherServer(""), keyType(KeyUser)}} {
		keys := &keyring{}
		c := client(t, r.URL, keys, set...)
		for _, kind := range []outbox.Kind{"", outbox.KindDataModel, outbox.KindFile, outbox.KindPlatform} {
			m := message(contract.LaneSend, event)
			m.Kind = kind
			_, err := c.Deliver(t.Context(), m)
			if e := failure(t, err); !e.Permanent() || e.Attempted() || !strings.Contains(err.Error(), "kind fhir only") || len(r.seen()) != 0 || keys.asked != 0 {
				t.Errorf("kind %s: %v", kind, err)
			}
		}
	}
}

func TestConfig_FHIRPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"fhir", "//host/x", "/x?y=1", "/x#y", "/%zz"} {
		if err := (Config{FHIRPath: path}).WithDefaults().Validate(); err == nil || !strings.Contains(err.Error(), "FHIRPath") {
			t.Errorf("%q: %v", path, err)
		}
	}
}
