package redox

import (
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// A link of an answer is a path as it stands, if it leads to the API.
func TestLink_OfAnAnswerIsAPath(t *testing.T) {
	t.Parallel()
	const page = "hospital/Development/page/Patient/search/7c9e6679-7425-40de-944b-e07fc1f90ae7.next"
	type want struct{ path, refused string }
	for base, links := range map[string]map[string]want{
		"https://api.redoxengine.com": {
			"https://api.redoxengine.com/fhir/R4/" + page:                                            {path: page},
			"HTTPS://API.RedoxEngine.Com/fhir/R4/" + page:                                            {path: page},
			"https://api.redoxengine.com:443/fhir/R4/" + page:                                        {path: page},
			"https://api.redoxengine.com/fhir/R4/s/Development/Patient?a=%7c&b=|&c=https://x/../y&d": {path: "s/Development/Patient?a=%7c&b=|&c=https://x/../y&d"},
			"https://api.redoxengine.com/fhir/R4/" + page + "/":                                      {path: page + "/"},
			"https://api.redoxengine.com/fhir/R4/" + page + "?":                                      {path: page + "?"},
			"https://api.redoxengine.com:80/fhir/R4/" + page:                                         {refused: "another host or port"},
			"https://api.redoxengine.com:8443/fhir/R4/" + page:                                       {refused: "another host or port"},
			"https://api.redoxengine.com./fhir/R4/" + page:                                           {refused: "another host or port"},
			"https://fhir.redoxengine.com/fhir-sandbox/Patient/7c9e":                                 {refused: "the fullUrl of a resource is no address"},
			"https://api.redoxengine.com.evil.example/fhir/R4/" + page:                               {refused: "another host or port"},
			"https://api.redoxengine.com@evil.example/fhir/R4/" + page:                               {refused: "without a proper host"},
			"https://user:secret@api.redoxengine.com/fhir/R4/" + page:                                {refused: "without a proper host"},
			"https://%61pi.redoxengine.com/fhir/R4/" + page:                                          {refused: "without a proper host"},
			"http://api.redoxengine.com/fhir/R4/" + page:                                             {refused: "a URL of http, and redox.base_url of https"},
			"https://api.redoxengine.com/platform/v1/x":                                              {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/fhir/R4":                                                    {path: ""},
			"https://api.redoxengine.com/fhir/R4?_getpages=7c9e&x=/y":                                {path: "?_getpages=7c9e&x=/y"},
			"https://api.redoxengine.com/fhir/R4x?_getpages=7c9e":                                    {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/fhir?_getpages=7c9e":                                        {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/FHIR/R4/" + page:                                            {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/fhir/%524/" + page:                                          {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/x/../fhir/R4/" + page:                                       {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/fhir/R4//" + page:                                           {refused: "not below /fhir/R4/"},
			"https://api.redoxengine.com/fhir/R4/s/../../endpoint":                                   {refused: "the path was refused"},
			"https://api.redoxengine.com/fhir/R4/s/Development/%2e%2e/x":                             {refused: "the path was refused"},
			"https://api.redoxengine.com/fhir/R4/" + page + "#top":                                   {refused: "the path was refused"},
			"https://":                       {refused: "without a proper host"},
			"https:///fhir/R4/" + page:       {refused: "without a proper host"},
			"Patient?next=https://evil/x":    {path: "Patient?next=https://evil/x"},
			"ftp://api.redoxengine.com/fhir": {refused: "the path was refused"},
		},
		"https://gateway.example:8443/redox/": {
			"https://gateway.example:8443/redox/fhir/R4/" + page: {path: page},
			"https://gateway.example/redox/fhir/R4/" + page:      {refused: "another host or port"},
			"https://gateway.example:8443/fhir/R4/" + page:       {refused: "not below /redox/fhir/R4/"},
			"https://api.redoxengine.com/fhir/R4/" + page:        {refused: "another host or port"},
		},
		"http://127.0.0.1:80": {
			"http://127.0.0.1/fhir/R4/" + page:  {path: page},
			"https://127.0.0.1/fhir/R4/" + page: {refused: "a URL of https, and redox.base_url of http"},
			"http://localhost/fhir/R4/" + page:  {refused: "another host or port"},
		},
		"http://[::1]:4000": {"http://[::1]:4000/fhir/R4/" + page: {path: page}},
	} {
		target, err := newTargets(Config{BaseURL: base}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		for link, want := range links {
			got, refused := target.belowFHIR(link)
			if refused == nil {
				_, refused = below(target.fhir, got)
			}
			switch {
			case want.refused == "" && (refused != nil || got != want.path):
				t.Errorf("%s: %q %v", link, got, refused)
			case want.refused != "" && (refused == nil || !refused.Poison() || !strings.Contains(refused.Error(), want.refused)):
				t.Errorf("%s: %q %v", link, got, refused)
			}
			if refused != nil && (strings.Contains(refused.Error(), "7c9e") || strings.Contains(refused.Error(), "evil") || strings.Contains(refused.Error(), "secret")) {
				t.Errorf("%s: it is quoted: %v", link, refused)
			}
		}
	}
}

// A link is sent to the base, its query string byte for byte, and guarded as any path is.
func TestLink_OnTheWire(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient, "Content-Type", "application/fhir+json"))
	c := client(t, r.URL, &keyring{})
	const path = "/fhir/R4/hospital/Development/Patient?_page=a%2fb%2Bc+d&x=&&y"
	m := fhir(contract.LaneRequest, http.MethodGet, r.URL+path, "")
	if _, err := c.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if got := r.seen()[0]; got.path != path || got.method != http.MethodGet {
		t.Errorf("%s %s", got.method, got.path)
	}
	m.Path = r.URL + "/fhir/R4/hospital/Production/Patient/1"
	if _, err := c.Deliver(t.Context(), m); !failure(t, err).Permanent() || len(r.seen()) != 1 {
		t.Errorf("another environment: %v, %d requests", err, len(r.seen()))
	}
	m.Path, m.Source = r.URL+path, "clinic-a"
	if got := c.MessageScopes(m); len(got) != 1 || got[0] != "dest:clinic-a:hospital" {
		t.Errorf("scopes %v", got)
	}
	m.Path = "https://evil.example/fhir/R4/hospital/Development/Patient"
	if got := c.MessageScopes(m); len(got) != 0 {
		t.Errorf("scopes of another host's %v", got)
	}
}

// FuzzLink: whatever passes leads to the API, and says the same behind its base.
func FuzzLink(f *testing.F) {
	for _, s := range []string{"https://api.example/gw/fhir/R4/s/Development/Patient?x", "HTTPS://API.EXAMPLE:443/gw/fhir/R4/a", "https://api.example@x/gw/fhir/R4/", "https://[::1]/", "a://b"} {
		f.Add(s)
	}
	target, err := newTargets(Config{BaseURL: "https://api.example/gw"}.WithDefaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		path, refused := target.belowFHIR(ref)
		if refused != nil {
			if !refused.Poison() {
				t.Errorf("%+v", refused)
			}
			return
		}
		if !strings.HasSuffix(ref, path) {
			t.Errorf("%q became %q", ref, path)
		}
		if u, broken := below(target.fhir, path); broken == nil && (u.Host != "api.example" || u.Scheme != "https" || u.User != nil || !strings.HasPrefix(u.EscapedPath()+"/", "/gw/fhir/R4/")) {
			t.Errorf("%q became %s", ref, u)
		}
	})
}
