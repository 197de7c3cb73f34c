package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTokenError_Classes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  TokenError
		want class
	}{
		{TokenError{Err: errors.New("connection refused")}, temporary},
		{TokenError{Status: 200, Err: ErrAnswer}, temporary},
		{TokenError{Status: 408}, temporary},
		{TokenError{Status: 425}, temporary},
		{TokenError{Status: 429}, temporary},
		{TokenError{Status: 500}, temporary},
		{TokenError{Status: 503}, temporary},
		{TokenError{Status: 599, Code: "invalid_client"}, temporary},
		{TokenError{Status: 400, Code: "temporarily_unavailable"}, temporary},
		{TokenError{Status: 400, Code: "server_error"}, temporary},
		{TokenError{Status: 400, Code: "slow_down"}, temporary},
		{TokenError{Status: 400, Code: "jti_known"}, temporary},
		{TokenError{Status: 400, Code: "invalid_client"}, heals},
		{TokenError{Status: 401, Code: "invalid_client"}, heals},
		{TokenError{Status: 400, Code: "invalid_request", Description: "Public key not found, check client_id"}, heals},
		{TokenError{Status: 400, Code: "invalid_request"}, heals}, // blank: a clock, mostly
		{TokenError{Status: 401}, heals},
		{TokenError{Status: 403}, heals},
		{TokenError{Status: 400, Code: "invalid_request", Description: "Missing grant_type parameter"}, permanent},
		{TokenError{Status: 400, Code: "invalid_scope"}, permanent},
		{TokenError{Status: 400}, permanent},
		{TokenError{Status: 302}, permanent},
		{TokenError{Status: 404}, permanent},
	} {
		if got := classOf(fmt.Errorf("wrapped: %w", &c.err)); got != c.want {
			t.Errorf("%d %s %q is %s, want %s", c.err.Status, c.err.Code, c.err.Description, got, c.want)
		}
		if c.err.Temporary() && c.err.Heals() {
			t.Errorf("%d %s is both temporary and healing", c.err.Status, c.err.Code)
		}
	}
	if classOf(errors.New("any other")) != temporary {
		t.Error("an unknown error is not temporary")
	}
}

// TestTokenError_MendsEachDocumentedText goes through the table of facts: each
// description that Redox documents has a mend that names what to change.
func TestTokenError_MendsEachDocumentedText(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"": "audience",
		"x-www-form-urlencoded content-type required":                             "Content-Type",
		"Missing grant_type parameter":                                            "proxy",
		"The grant_type parameter should equal 'client_credentials'":              "proxy",
		"Missing client assertion type":                                           "proxy",
		"Invalid client assertion type":                                           "proxy",
		"Missing client assertion":                                                "proxy",
		"JWT header kid property is required":                                     "set the kid",
		"Public key not found, check client_id, kid and Redox dashboard settings": "dashboard",
		"Unexpected aud claim value":                                              "audience",
		"Unexpected iss claim value":                                              "client id",
		"Unexpected sub claim value":                                              "client id",
		"Unexpected iat claim value":                                              "clock",
		"Unexpected exp claim value":                                              "clock",
		"Unexpected foo claim value":                                              "client id",
	} {
		e := &TokenError{Op: opToken, Host: "api.redoxengine.com", Status: 400, Code: "invalid_request", Description: description}
		if !strings.Contains(e.Mend(), want) {
			t.Errorf("%q is mended by %q, want %q in it", description, e.Mend(), want)
		}
		if !strings.HasSuffix(e.Error(), e.Mend()) || strings.Contains(e.Error(), "\n") {
			t.Errorf("reads %q", e)
		}
	}
}

func TestTokenError_MendsTheRest(t *testing.T) {
	t.Parallel()
	dns := &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "x"}}
	for want, e := range map[string]TokenError{
		"saved for this environment":           {Op: opToken, Status: 401, Code: "invalid_client"},
		"the public key is saved":              {Op: opToken, Status: 403},
		"or for none":                          {Status: 400, Code: "invalid_scope"},
		"allow client_credentials":             {Status: 400, Code: "unauthorized_client"},
		"sent the request twice":               {Status: 400, Code: "jti_known"},
		"a new secret ends the old":            {Op: opAuthenticate, Status: 401, Description: "Invalid request"},
		"secret: a new":                        {Op: opAuthenticate, Status: 401, Description: "Invalid source secret."},
		"enable the source":                    {Op: opAuthenticate, Status: 401, Description: "This source is not authorized."},
		"never followed":                       {Status: 308},
		"check the token URL":                  {Status: 404},
		"the right user and password":          {Status: 407},
		"changes the Content-Type":             {Status: 415},
		"what else sends":                      {Status: 429},
		"the client id and the key":            {Status: 418},
		"not a token endpoint":                 {Status: 200, Err: ErrAnswer},
		"name server":                          {Err: dns},
		"give the CA":                          {Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}},
		"certificate is another's":             {Err: x509.HostnameError{Certificate: &x509.Certificate{}}},
		"clock and the endpoint's certificate": {Err: x509.CertificateInvalidError{Reason: x509.Expired}},
		"does not speak TLS":                   {Err: tls.RecordHeaderError{}},
		"does not speak TLS: check the port":   {Err: &url.Error{Op: "Post", URL: "https://h", Err: http.ErrSchemeMismatch}},
		"the proxy's URL":                      {Err: &net.OpError{Op: "proxyconnect", Err: &net.OpError{Op: "dial", Err: dns}}},
		"host and port":                        {Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}},
	} {
		if got := e.Mend(); !strings.Contains(got, want) {
			t.Errorf("%d %s %q: %q, want %q in it", e.Status, e.Code, e.Description, got, want)
		}
	}
	for _, e := range []TokenError{{Status: 503}, {Err: errors.New("connection reset")}, {Err: &net.OpError{Op: "read", Err: errors.New("connection reset")}}} {
		if e.Mend() != "" {
			t.Errorf("%d: %q, but waiting is all", e.Status, e.Mend())
		}
	}
}

func TestTokenError_NamesTheClock(t *testing.T) {
	t.Parallel()
	e := TokenError{Op: opToken, Host: "h", Status: 400, Code: "invalid_request", Skew: -90 * time.Second}
	if !strings.Contains(e.Error(), "this host's clock, it is 1m30s behind the server's") {
		t.Errorf("reads %q", e.Error())
	}
	want := `auth: token from h with kid "k" : status 401`
	plain := TokenError{Op: opToken, Host: "h", KeyID: "k", Status: 500}
	if got := plain.Error(); got != strings.Replace(want, " : status 401", ": status 500", 1) {
		t.Errorf("reads %q", got)
	}
}

func TestNoTokenError_SaysWhyAndWhen(t *testing.T) {
	t.Parallel()
	cause := &TokenError{Op: opToken, Host: "h", Status: 503}
	e := &NoTokenError{Cause: cause, NextTry: time.Now().Add(time.Minute)}
	if got := e.Error(); got != "auth: no token: token from h: status 503" {
		t.Errorf("reads %q", got)
	}
	if !errors.Is(e, cause) || e.Attempted() || e.RetryAfter() > time.Minute || e.RetryAfter() < 50*time.Second {
		t.Error("cause, attempt or wait")
	}
	if (&NoTokenError{}).RetryAfter() != 0 || (&NoTokenError{}).Error() == "" {
		t.Error("a zero error")
	}
}
