package redoxsim

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
)

// The contract below is what Redox documents or was seen to do. It always runs against the simulator. It runs against
// Redox too when these variables hold the credentials of a development environment:
//
//	REDOX_SANDBOX_CLIENT_ID       client id of an OAuth API key
//	REDOX_SANDBOX_KID             its kid
//	REDOX_SANDBOX_KEY_FILE        its private key, PKCS#8 PEM, RSA or EC P-384
//	REDOX_SANDBOX_SOURCE_ID       a source of that environment
//	REDOX_SANDBOX_DESTINATION_ID  a destination it may send PatientAdmin and PatientSearch to
//	REDOX_SANDBOX_FHIR_SLUG       a FHIR destination of it, default redox-fhir-sandbox
//	REDOX_SANDBOX_URL             default https://api.redoxengine.com
//
// The messages are synthetic and marked as tests.
type peer struct {
	*rig
	clientID, kid string
	key           crypto.Signer
	method        jwt.SigningMethod
	source, dest  string
	slug          string
}

func (p *peer) assertion(t *testing.T, header map[string]any, change func(jwt.MapClaims)) string {
	claims := goodClaims(p.clientID, p.url+PathToken, time.Now())
	if change != nil {
		change(claims)
	}
	merged := map[string]any{"kid": p.kid}
	for name, value := range header {
		merged[name] = value
	}
	return sign(t, p.method, p.key, merged, claims)
}

func (p *peer) meta(model, event, rest string) string {
	return `{"Meta":{"DataModel":"` + model + `","EventType":"` + event + `","Test":true,"Source":{"ID":"` + p.source + `"}` + rest + `}`
}

func (p *peer) destinations() string { return `,"Destinations":[{"ID":"` + p.dest + `"}]` }

// want is what an answer must look like. Zero fields are not checked.
type want struct {
	status      []int  // any of
	contentType string // prefix
	description string // error_description of a token error
	contains    string
	not         string
	empty       bool
}

func (w want) check(t *testing.T, r received) {
	t.Helper()
	ok := len(w.status) == 0
	for _, s := range w.status {
		ok = ok || s == r.status
	}
	if !ok {
		t.Errorf("status %d, want one of %v; body %q", r.status, w.status, r.body)
	}
	if !strings.HasPrefix(r.header.Get("Content-Type"), w.contentType) {
		t.Errorf("content type %q, want %q", r.header.Get("Content-Type"), w.contentType)
	}
	if !strings.Contains(r.body, w.contains) {
		t.Errorf("body %q lacks %q", r.body, w.contains)
	}
	if w.not != "" && strings.Contains(r.body, w.not) {
		t.Errorf("body %q contains %q", r.body, w.not)
	}
	if w.empty && r.body != "" {
		t.Errorf("body %q", r.body)
	}
	if w.description == "" {
		return
	}
	var e tokenError
	r.json(t, &e)
	if e.Error == "" || e.Description != w.description {
		t.Errorf("error %q, description %q, want %q", e.Error, e.Description, w.description)
	}
}

// refusedToken is any status a refused token request may have: Redox documents none.
var refusedToken = []int{400, 401}

// contractCase is one request and what its answer must look like.
type contractCase struct {
	name    string
	simOnly bool // not documented: the simulator's stricter reading
	ask     func(t *testing.T, p *peer) received
	want    want
}

// contract is the table. Cases of which Redox documents only that they fail check no more than that.
var contract = []contractCase{
	{"token granted", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, nil, nil))
	}, want{status: []int{200}, contentType: "application/json", contains: `"access_token"`}},
	{"token refused without form type", false, func(t *testing.T, p *peer) received {
		h := http.Header{"Content-Type": {"application/json"}}
		return p.do(http.MethodPost, PathToken, `{"grant_type":"client_credentials"}`, h)
	}, want{status: refusedToken, description: "x-www-form-urlencoded content-type required"}},
	{"token refused without grant_type", false, formWithout("grant_type"),
		want{status: refusedToken, description: "Missing grant_type parameter"}},
	{"token refused with another grant_type", false, formWith("grant_type", "password"),
		want{status: refusedToken, description: "The grant_type parameter should equal 'client_credentials'"}},
	{"token refused without assertion type", false, formWithout("client_assertion_type"),
		want{status: refusedToken, description: "Missing client assertion type"}},
	{"token refused with another assertion type", false, formWith("client_assertion_type", "jwt"),
		want{status: refusedToken, description: "Invalid client assertion type"}},
	{"token refused without assertion", false, formWithout("client_assertion"),
		want{status: refusedToken, description: "Missing client assertion"}},
	{"token refused without kid", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, map[string]any{"kid": nil}, nil))
	}, want{status: refusedToken, description: "JWT header kid property is required"}},
	{"token refused for an unknown kid", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, map[string]any{"kid": "no-such-kid"}, nil))
	}, want{status: refusedToken, description: assertion.KeyNotFound("").Description}},
	{"token refused for an unknown client", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, nil, func(c jwt.MapClaims) {
			c["iss"], c["sub"] = "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000"
		}))
	}, want{status: refusedToken, description: assertion.KeyNotFound("").Description}},
	{"token refused for an old iat", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, nil, func(c jwt.MapClaims) { c["iat"] = time.Now().Unix() - 600 }))
	}, want{status: refusedToken, contains: `"error"`, not: "access_token"}},
	{"token refused for a future iat", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, nil, func(c jwt.MapClaims) { c["iat"] = time.Now().Unix() + 120 }))
	}, want{status: refusedToken, contains: `"error"`, not: "access_token"}},
	{"token refused for another aud", false, func(t *testing.T, p *peer) received {
		return p.askToken(p.assertion(t, nil, func(c jwt.MapClaims) { c["aud"] = "https://example.com/token" }))
	}, want{status: refusedToken, contains: `"error"`, not: "access_token"}},
	{"token refused for a used jti", true, func(t *testing.T, p *peer) received {
		a := p.assertion(t, nil, nil)
		p.askToken(a)
		return p.askToken(a)
	}, want{status: refusedToken, contains: `"error_description":""`}},
	{"endpoint without token", false, func(t *testing.T, p *peer) received {
		return p.do(http.MethodPost, PathEndpoint, "{}", http.Header{"Content-Type": {"application/json"}})
	}, want{status: []int{401}}},
	{"endpoint with a made-up token", false, func(t *testing.T, p *peer) received {
		return p.do(http.MethodPost, PathEndpoint, "{}", bearer("made-up"))
	}, want{status: []int{401}}},
	{"send accepted", false, func(t *testing.T, p *peer) received {
		return p.post(t, p.meta("PatientAdmin", "NewPatient", p.destinations())+`,"Patient":{"Identifiers":[{"ID":"SIM1","IDType":"MR"}],`+
			`"Demographics":{"FirstName":"Sim","LastName":"Patient"}}}`)
	}, want{status: []int{200}, contentType: "application/json", contains: `"Logs":[{`, not: `"Errors"`}},
	{"query answered", false, func(t *testing.T, p *peer) received {
		return p.post(t, p.meta("PatientSearch", "Query", p.destinations())+`,"Patient":{"Demographics":{"FirstName":"Sim","LastName":"Patient"}}}`)
	}, want{status: []int{200}, contentType: "application/json", contains: `"Patient"`}},
	{"send without DataModel", false, func(t *testing.T, p *peer) received {
		return p.post(t, `{"Meta":{"EventType":"NewPatient","Source":{"ID":"`+p.source+`"}`+p.destinations()+`},"Patient":{}}`)
	}, want{status: []int{400}}},
	{"send without destination", false, func(t *testing.T, p *peer) received {
		return p.post(t, p.meta("PatientAdmin", "NewPatient", "")+`,"Patient":{}}`)
	}, want{status: []int{400, 403, 404}, contains: "Meta.Destinations"}},
	{"GET is no verb of the endpoint", false, func(t *testing.T, p *peer) received {
		return p.do(http.MethodGet, PathEndpoint, "", bearer(p.bearerToken(t)))
	}, want{status: []int{403, 404}}},
}

func formWithout(name string) func(*testing.T, *peer) received {
	return func(t *testing.T, p *peer) received {
		form := assertionForm(p.assertion(t, nil, nil))
		form.Del(name)
		return p.do(http.MethodPost, PathToken, form.Encode(), formType)
	}
}

func formWith(name, value string) func(*testing.T, *peer) received {
	return func(t *testing.T, p *peer) received {
		form := assertionForm(p.assertion(t, nil, nil))
		form.Set(name, value)
		return p.do(http.MethodPost, PathToken, form.Encode(), formType)
	}
}

func (p *peer) bearerToken(t *testing.T) string {
	var granted tokenAnswer
	p.askToken(p.assertion(t, nil, nil)).json(t, &granted)
	return granted.AccessToken
}

func (p *peer) post(t *testing.T, text string) received {
	h := with(bearer(p.bearerToken(t)), "Redox-Source-Id", p.source)
	return p.do(http.MethodPost, PathEndpoint, text, h)
}

func TestContract_Simulator(t *testing.T) {
	t.Parallel()
	sim := &Server{}
	sim.AddSource(Source{ID: testSource})
	sim.AddDestination(Destination{ID: testDest})
	sim.AddDestination(Destination{ID: "fhir", Slug: testSlug})
	p := &peer{newRig(t, sim), testClient, testKid, rsaKey(), jwt.SigningMethodRS384, testSource, testDest, testSlug}
	runContract(t, p, true)
}

func TestContract_SimulatorES384(t *testing.T) {
	t.Parallel()
	sim := &Server{}
	if err := sim.AddOAuthKey("ec-client", "ec-kid", ecKey().Public()); err != nil {
		t.Fatal(err)
	}
	p := &peer{bareRig(t, sim), "ec-client", "ec-kid", ecKey(), jwt.SigningMethodES384, testSource, testDest, testSlug}
	runContract(t, p, true)
}

// TestContract_Sandbox has no cases unless the environment holds credentials.
func TestContract_Sandbox(t *testing.T) {
	if p := sandbox(t); p != nil {
		runContract(t, p, false)
	}
}

func runContract(t *testing.T, p *peer, simulator bool) {
	for _, c := range slices.Concat(contract, fhirContract, filesContract) {
		if c.simOnly && !simulator {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.want.check(t, c.ask(t, p)) })
	}
}

// sandbox is Redox itself, or nil without credentials. Credentials in part are an error, not a pass.
func sandbox(t *testing.T) *peer {
	t.Helper()
	names := []string{"CLIENT_ID", "KID", "KEY_FILE", "SOURCE_ID", "DESTINATION_ID"}
	values, unset := map[string]string{}, []string{}
	for _, name := range names {
		if values[name] = os.Getenv("REDOX_SANDBOX_" + name); values[name] == "" {
			unset = append(unset, "REDOX_SANDBOX_"+name)
		}
	}
	if len(unset) == len(names) {
		return nil
	}
	if len(unset) > 0 {
		t.Fatalf("set %s too", strings.Join(unset, ", "))
	}
	key, method := sandboxKey(t, values["KEY_FILE"])
	base := os.Getenv("REDOX_SANDBOX_URL")
	if base == "" {
		base = "https://api.redoxengine.com"
	}
	if u, err := url.Parse(base); err != nil || u.Scheme != "https" {
		t.Fatal("REDOX_SANDBOX_URL must be an https URL")
	}
	slug := os.Getenv("REDOX_SANDBOX_FHIR_SLUG")
	if slug == "" {
		slug = testSlug
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	g := &rig{t: t, url: strings.TrimSuffix(base, "/"), hc: &http.Client{Transport: tr, Timeout: 150 * time.Second}}
	return &peer{g, values["CLIENT_ID"], values["KID"], key, method, values["SOURCE_ID"], values["DESTINATION_ID"], slug}
}

func sandboxKey(t *testing.T, file string) (crypto.Signer, jwt.SigningMethod) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatal("REDOX_SANDBOX_KEY_FILE holds no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal("REDOX_SANDBOX_KEY_FILE is not PKCS#8")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || assertion.CheckKey(key.Public()) != nil {
		t.Fatal("REDOX_SANDBOX_KEY_FILE is neither RSA nor EC P-384")
	}
	if _, ok := key.Public().(*rsa.PublicKey); ok {
		return key, jwt.SigningMethodRS384
	}
	return key, jwt.SigningMethodES384
}
