package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// between is a machine on the way to an endpoint that does not leave a request as it is.
type between struct {
	change func(r *http.Request)
	twice  bool
}

func (b between) RoundTrip(r *http.Request) (*http.Response, error) {
	form, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	send := func() (*http.Response, error) {
		out := r.Clone(r.Context())
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(form)), int64(len(form))
		if b.change != nil {
			b.change(out)
		}
		return http.DefaultTransport.RoundTrip(out)
	}
	if b.twice {
		first, err := send()
		if err != nil {
			return nil, err
		}
		_ = first.Body.Close()
	}
	return send()
}

// replaced has the form be another.
func replaced(form url.Values) func(r *http.Request) {
	return func(r *http.Request) {
		text := form.Encode()
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

// over is a front of the stand-in with paths that are wrong to ask, at url and, with TLS, at
// secure.
type over struct {
	*standIn
	url, secure string
	authority   *x509.CertPool
}

func newOver(t *testing.T, k Key) *over {
	t.Helper()
	s := newStandIn(t, k)
	mux := http.NewServeMux()
	mux.Handle("/token", s)
	mux.Handle("/moved", http.RedirectHandler("/token", http.StatusPermanentRedirect))
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>sign in</html>") })
	mux.HandleFunc("/teapot", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	plain, secure := httptest.NewServer(mux), httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(func() {
		plain.Close()
		secure.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	o := &over{standIn: s, url: plain.URL, secure: secure.URL, authority: x509.NewCertPool()}
	o.authority.AddCert(secure.Certificate())
	s.audience = "aud"
	return o
}

// trusting is a transport that takes the certificate, on a host whose clock is off by so much.
func (o *over) trusting(off time.Duration) http.RoundTripper {
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: o.authority, ServerName: "127.0.0.1",
		MinVersion: tls.VersionTLS12, Time: func() time.Time { return time.Now().Add(off) }}}
}

// to is what a client at the URL gets, with what edit makes of its settings.
func (o *over) to(t *testing.T, at string, k Key, edit func(c *OAuthConfig)) error {
	t.Helper()
	c := OAuthConfig{TokenURL: at, Audience: "aud", Transport: &http.Transport{DisableKeepAlives: true}}
	if edit != nil {
		edit(&c)
	}
	m, err := NewOAuth("client-1", k, c)
	if err != nil {
		return err
	}
	_, err = m.Mint(t.Context())
	return err
}

// What an endpoint's refusal, or a connection that cannot be made, says to do gets a token.
func TestMint_MendsLeadSomewhere(t *testing.T) {
	t.Parallel()
	k := ecKey("k")
	o := newOver(t, k)
	via := func(b between) func(c *OAuthConfig) { return func(c *OAuthConfig) { c.Transport = b } }
	secure := func(off time.Duration) func(c *OAuthConfig) {
		return func(c *OAuthConfig) { c.Transport = o.trusting(off) }
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	good := o.url + "/token"
	local := strings.Replace(o.secure, "127.0.0.1", "localhost", 1) + "/token"
	named := func(name string) func(c *OAuthConfig) {
		return func(c *OAuthConfig) {
			c.Transport = o.trusting(0)
			c.Transport.(*http.Transport).TLSClientConfig.ServerName = name
		}
	}
	for _, row := range []struct {
		says         string
		wrong, after error
	}{
		{"set the URL it points to", o.to(t, o.url+"/moved", k, nil), o.to(t, good, k, nil)},
		{"check the token URL", o.to(t, o.url+"/nowhere", k, nil), o.to(t, good, k, nil)},
		{"what answers there is not a token endpoint", o.to(t, o.url+"/page", k, nil), o.to(t, good, k, nil)},
		{"check the token URL, the client id and the key", o.to(t, o.url+"/teapot", k, nil), o.to(t, good, k, nil)},
		{"check the token URL's host and this host's name server", o.to(t, "https://no-such-host.invalid/token", k, nil), o.to(t, good, k, nil)},
		{"check the token URL's host and port", o.to(t, "http://"+closed.Addr().String(), k, nil), o.to(t, good, k, nil)},
		{"give the CA that signed the endpoint's certificate", o.to(t, o.secure+"/token", k, nil), o.to(t, o.secure+"/token", k, secure(0))},
		{"the certificate is another's", o.to(t, local, k, named("localhost")), o.to(t, o.secure+"/token", k, secure(0))},
		{"check this host's clock and the endpoint's certificate", o.to(t, o.secure+"/token", k, secure(100*365*24*time.Hour)), o.to(t, o.secure+"/token", k, secure(0))},
		{"check the port and the proxy", o.to(t, "https"+strings.TrimPrefix(good, "http"), k, nil), o.to(t, o.secure+"/token", k, secure(0))},
		{"something on the way changes the Content-Type", o.to(t, good, k, via(between{change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }})), o.to(t, good, k, nil)},
		{"something between here and the endpoint changes the form", o.to(t, good, k, via(between{change: replaced(url.Values{"a": {"b"}})})), o.to(t, good, k, nil)},
		{"something between here and the endpoint changes the form", o.to(t, good, k, via(between{change: replaced(url.Values{"grant_type": {"client_credentials"}})})), o.to(t, good, k, nil)},
		{"one of aud, alg, jti and iat is wrong", o.to(t, good, k, via(between{twice: true})), o.to(t, good, k, nil)},
		{"set the audience to the token URL", o.to(t, good, k, func(c *OAuthConfig) { c.Audience = "other" }), o.to(t, good, k, nil)},
		{"that the public half of this very key is registered", o.to(t, good, must(GenerateKey(ES384, "k")), nil), o.to(t, good, k, nil)},
		{"check the client id, the kid, that the public key is saved", o.to(t, good, ecKey("unknown"), nil), o.to(t, good, k, nil)},
	} {
		switch {
		case row.wrong == nil || !strings.Contains(row.wrong.Error(), row.says):
			t.Errorf("the error is %v, want %q", row.wrong, row.says)
		case row.after != nil:
			t.Errorf("%s\n\tafter the mend: %v", row.wrong, row.after)
		}
	}
}

// What only the server or time can mend gets a token when it is mended.
func TestMint_MendsAtTheServerLeadSomewhere(t *testing.T) {
	t.Parallel()
	k := ecKey("k")
	o := newOver(t, k)
	refusing := func(status int, code string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if code == "invalid_scope" && r.FormValue("scope") == "" {
				return false
			}
			o.refuse(w, status, code, "no")
			return true
		}
	}
	scope := func(c *OAuthConfig) { c.Scope = "system/*.rs" }
	for _, row := range []struct {
		says   string
		status int
		code   string
		stays  bool // what refuses; the client asks otherwise
	}{
		{"ask for a scope that this key was given, or for none", 400, "invalid_scope", true},
		{"allow client_credentials for this client at the server", 400, "unauthorized_client", false},
		{"something on the way sent the request twice", 400, "jti_known", false},
		{"too many requests from this address: wait", 429, "", false},
		{"something on the way changes the Content-Type", 415, "", false},
	} {
		o.set(func() { o.fault = refusing(row.status, row.code) })
		if err := o.to(t, o.url+"/token", k, scope); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("the error is %v, want %q", err, row.says)
		}
		if !row.stays {
			o.set(func() { o.fault = nil })
		}
		if err := o.to(t, o.url+"/token", k, nil); err != nil {
			t.Errorf("%s: after the mend: %v", row.says, err)
		}
	}
}

// The same for a legacy key.
func TestLegacy_MendsLeadSomewhere(t *testing.T) {
	t.Parallel()
	s := newLegacyStandIn()
	ask := func(key, secret string) error {
		m := must(NewLegacy(key, NewSecret(secret), LegacyConfig{URL: legacyBase, Transport: serve(t, s)}))
		_, err := m.Mint(context.Background())
		return err
	}
	disabled := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "This source is not authorized.", http.StatusUnauthorized)
		return true
	}
	for i, err := range []error{ask("other", "s3cr3t"), ask("key-1", "other")} {
		if err == nil || !strings.Contains(err.Error(), "check the API key and its secret") {
			t.Errorf("%d: %v", i, err)
		}
	}
	s.set(func() { s.fault = disabled })
	if err := ask("key-1", "s3cr3t"); err == nil || !strings.Contains(err.Error(), "enable the source in the Redox dashboard") {
		t.Error(err)
	}
	s.set(func() { s.fault = nil })
	if err := ask("key-1", "s3cr3t"); err != nil {
		t.Error(err)
	}
}

// What is wrong with a JWK, or with the kid that is given with it, is mended as the error says.
func TestParsePrivateKey_MendsOfJWKsLeadSomewhere(t *testing.T) {
	t.Parallel()
	text := func(k Key) string { return string(must(k.MarshalJWK())) }
	ec, rsa := text(ecKey("k")), text(rsaKey("r"))
	without := func(jwk string, members ...string) string {
		for _, m := range members {
			jwk = strings.Replace(jwk, `"`+m+`":`, `"_`+m+`":`, 1)
		}
		return jwk
	}
	set := func(keys ...string) string { return fmt.Sprintf(`{"keys":[%s]}`, strings.Join(keys, ",")) }
	type given struct{ text, kid string }
	for _, row := range []struct {
		says         string
		wrong, after given
	}{
		{"give one JWK", given{"[" + ec + "]", ""}, given{ec, ""}},
		{"copy the file again", given{ec[:len(ec)/2], ""}, given{ec, ""}},
		{"give the private half", given{set(without(ec, "d")), ""}, given{set(ec), ""}},
		{"name one by its kid", given{set(ec, rsa), ""}, given{set(ec, rsa), "r"}},
		{"download or generate it again", given{strings.Replace(ec, `"P-384"`, `"P-256"`, 1), ""}, given{ec, ""}},
		{"register one with alg ES384", given{strings.Replace(ec, `"ES384"`, `"RS384"`, 1), ""}, given{ec, ""}},
		{"give the private one, Redox gets the public one", given{without(ec, "d"), ""}, given{ec, ""}},
		{"has no x and y: give a complete one", given{without(ec, "x"), ""}, given{ec, ""}},
		{"lacks p, q, dp, dq or qi: give a complete one, or PEM", given{without(rsa, "dq"), ""}, given{rsa, ""}},
		{"lacks p, q, dp, dq or qi: give a complete one, or PEM", given{without(rsa, "dq"), "k"}, given{string(must(rsaKey("k").MarshalPEM())), "k"}},
		{"remove one of the two", given{ec, "other"}, given{ec, ""}},
		{"remove one of the two", given{ec, "other"}, given{without(ec, "kid"), "other"}},
		{"give it a shorter one", given{without(ec, "kid"), strings.Repeat("k", 257)}, given{without(ec, "kid"), strings.Repeat("k", 256)}},
		{"has a control character in it: remove that", given{without(ec, "kid"), "k\x01"}, given{ec, "k"}},
	} {
		_, err := ParsePrivateKey([]byte(row.wrong.text), row.wrong.kid)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("the error is %v, want %q", err, row.says)
			continue
		}
		if _, after := ParsePrivateKey([]byte(row.after.text), row.after.kid); after != nil {
			t.Errorf("%s\n\tafter the mend: %v", err, after)
		}
	}
}
