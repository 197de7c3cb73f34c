package redoxsim

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testClient = "client-1"
	testKid    = "kid-1"
	testSource = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	testDest   = "af394f14-b34a-464f-8d24-895f370af4c9"
)

// keys are made once: RSA keys are slow to make.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		return k
	})
	ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	})
)

// rig is a simulator behind a real TCP listener, with one RSA key registered.
type rig struct {
	t   *testing.T
	sim *Server
	url string
	hc  *http.Client
}

// newRig serves sim; nil means the zero value.
func newRig(t *testing.T, sim *Server) *rig {
	t.Helper()
	if sim == nil {
		sim = &Server{}
	}
	if err := sim.AddOAuthKey(testClient, testKid, rsaKey().Public()); err != nil {
		t.Fatal(err)
	}
	return bareRig(t, sim)
}

// bareRig serves sim with nothing registered.
func bareRig(t *testing.T, sim *Server) *rig {
	t.Helper()
	ts := httptest.NewServer(sim)
	tr := &http.Transport{DisableKeepAlives: false, MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		sim.Release()
		tr.CloseIdleConnections()
		ts.Close()
	})
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &rig{t: t, sim: sim, url: ts.URL, hc: &http.Client{Transport: tr, CheckRedirect: noRedirect}}
}

// received is an answer, read to its end.
type received struct {
	status int
	header http.Header
	body   string
}

func (r received) json(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("answer is not JSON: %v: %q", err, r.body)
	}
}

// try sends a request; the error is that of the transport or of reading the body.
func (g *rig) try(method, path, body string, header http.Header) (received, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, g.url+path, strings.NewReader(body))
	if err != nil {
		return received{}, err
	}
	maps.Copy(req.Header, header)
	resp, err := g.hc.Do(req)
	if err != nil {
		return received{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return received{resp.StatusCode, resp.Header, string(text)}, err
}

func (g *rig) do(method, path, body string, header http.Header) received {
	g.t.Helper()
	r, err := g.try(method, path, body, header)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

// claims are those of a good assertion for the rig, made now.
func (g *rig) claims() jwt.MapClaims { return goodClaims(testClient, g.url+PathToken, time.Now()) }

func goodClaims(clientID, aud string, now time.Time) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": clientID, "sub": clientID, "aud": aud, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Unix() + 300,
	}
}

// sign makes an assertion; a nil value in header removes that header field.
func sign(t *testing.T, method jwt.SigningMethod, key crypto.PrivateKey, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = testKid
	for name, value := range header {
		if value == nil {
			delete(token.Header, name)
			continue
		}
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func assertionForm(assertion string) url.Values {
	return url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {assertionType},
		"client_assertion":      {assertion},
	}
}

var formType = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

func (g *rig) askToken(assertion string) received {
	g.t.Helper()
	return g.do(http.MethodPost, PathToken, assertionForm(assertion).Encode(), formType)
}

// token gets a token the honest way.
func (g *rig) token() string {
	g.t.Helper()
	r := g.askToken(sign(g.t, jwt.SigningMethodRS384, rsaKey(), nil, g.claims()))
	var granted tokenAnswer
	r.json(g.t, &granted)
	if r.status != 200 || granted.AccessToken == "" {
		g.t.Fatalf("no token: %d %s", r.status, r.body)
	}
	return granted.AccessToken
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}

func with(h http.Header, name, value string) http.Header {
	h = h.Clone()
	h[http.CanonicalHeaderKey(name)] = []string{value}
	return h
}

// body is a message with the given event, like "PatientAdmin.NewPatient", and further members of Meta and of the top.
func body(event, meta, top string) string {
	model, typ, _ := strings.Cut(event, ".")
	text := `{"Meta":{"DataModel":"` + model + `","EventType":"` + typ + `",`
	if meta == "" {
		meta = `"Source":{"ID":"` + testSource + `"},"Destinations":[{"ID":"` + testDest + `"}]`
	}
	text += meta + `}`
	if top != "" {
		text += "," + top
	}
	return text + "}"
}

// keyed is a good SEND named by its key, with a script of faults.
func keyed(key, faults string) string {
	return body("PatientAdmin.NewPatient", "", `"_sim":{"key":"`+key+`","faults":"`+faults+`"},"Patient":{}`)
}

func (g *rig) send(text string) received {
	g.t.Helper()
	return g.do(http.MethodPost, PathEndpoint, text, bearer(g.sim.NewToken(testClient, 0)))
}

// last is the newest arrival; it must be finished.
func (g *rig) last() Arrival {
	g.t.Helper()
	all := g.sim.Arrivals()
	if len(all) == 0 {
		g.t.Fatal("nothing arrived")
	}
	return all[len(all)-1]
}

// errorsOf are the Meta.Errors[] of an answer.
func errorsOf(t *testing.T, r received) []errorItem {
	t.Helper()
	var a struct{ Meta answerMeta }
	r.json(t, &a)
	return a.Meta.Errors
}

// clock is a settable clock for Server.Now.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}
