package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// Texts that several answers share.
const (
	mendKey    = "check the client id, the kid, that the public key is saved for this environment in the Redox dashboard, and that the JWKS URL serves this kid"
	mendForm   = "something between here and the endpoint changes the form: check the proxy and the token URL"
	mendLegacy = "check the API key and its secret: a new secret ends the old one at once"
)

// documented lists the descriptions that Redox documents (Troubleshoot OAuth API
// key errors; for the last two, HTTP status codes: what they mean), in lower
// case, with the mend of each.
var documented = []struct{ text, mend string }{
	{"x-www-form-urlencoded content-type required", "something on the way changes the Content-Type: check the proxy and the token URL"},
	{"grant_type parameter", mendForm},
	{"missing client assertion", mendForm},
	{"invalid client assertion type", mendForm},
	{"kid property is required", "set the kid of the key, as registered with its public half"},
	{"public key not found", mendKey},
	{"unexpected aud claim", "set the audience to the token URL, with the region's host"},
	{"unexpected iss claim", "set the client id to the OAuth key's own, from the Redox dashboard"},
	{"unexpected sub claim", "set the client id to the OAuth key's own, from the Redox dashboard"},
	{"unexpected iat claim", "set this host's clock"},
	{"unexpected exp claim", "set this host's clock"},
	{"claim value", "check the client id, the audience (the token URL) and this host's clock"},
	{"invalid source secret", mendLegacy},
	{"source is not authorized", "enable the source in the Redox dashboard, and check that the API key is this environment's"},
}

// Mend returns what a person can do about the error, "" when waiting is all.
func (e *TokenError) Mend() string {
	if e.Status == 0 {
		return mendNetwork(e.Err)
	}
	for _, d := range documented {
		if e.says(d.text) {
			return d.mend
		}
	}
	if e.Err != nil {
		return "check the token URL: what answers there is not a token endpoint"
	}
	if m := e.mendCode(); m != "" {
		return m
	}
	return e.mendStatus()
}

// mendOf returns the mend of an error of a Minter, "" when it has none.
func mendOf(err error) string {
	var e interface {
		error
		Mend() string
	}
	if !errors.As(err, &e) {
		return ""
	}
	mend := ""
	_ = guard.Call("the error", func() { mend = e.Mend() })
	return mend
}

func (e *TokenError) mendCode() string {
	if e.blank() {
		return "the private key is not that of its kid, or one of aud, alg, jti and iat is wrong: check that the public half of this very key is registered, set the audience to the token URL, use a key whose algorithm Redox takes, and " + mendClock(e.Skew)
	}
	switch e.Code {
	case "invalid_client", "invalid_grant":
		return mendKey + "; " + mendClock(e.Skew)
	case "invalid_scope":
		return "ask for a scope that this key was given, or for none"
	case "unauthorized_client", "unsupported_grant_type":
		return "allow client_credentials for this client at the server"
	case "jti_known":
		return "something on the way sent the request twice: check the proxy"
	}
	return ""
}

// mendClock words the clock's part: Redox takes an iat of the past five minutes
// with ten seconds of allowance.
func mendClock(skew time.Duration) string {
	if skew.Abs() < skewWarn {
		return "check this host's clock"
	}
	return fmt.Sprintf("set this host's clock, it is %s", skewText(skew))
}

func (e *TokenError) mendStatus() string {
	switch s := e.Status; {
	case s >= 300 && s < 400:
		return "the endpoint redirects, which is never followed with credentials: set the URL it points to"
	case s == http.StatusUnauthorized && e.Op != opToken:
		return mendLegacy
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return mendKey
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return "check the token URL"
	case s == http.StatusProxyAuthRequired:
		return "give the proxy's URL the right user and password"
	case s == http.StatusUnsupportedMediaType:
		return documented[0].mend
	case s == http.StatusTooManyRequests:
		return "too many requests from this address: wait, and check what else sends from it"
	case s >= 400 && s < 500:
		return "check the token URL, the client id and the key"
	}
	return ""
}

func mendNetwork(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect": // around one of those below
		return "check the proxy's URL, and that it runs"
	case errors.As(err, &dns):
		return "check the token URL's host and this host's name server"
	case errors.As(err, &unknown):
		return "give the CA that signed the endpoint's certificate, or of the proxy that opens TLS (redox.ca_file)"
	case errors.As(err, &name):
		return "check the token URL's host: the certificate is another's"
	case errors.As(err, &invalid):
		return "check this host's clock and the endpoint's certificate"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the endpoint does not speak TLS: check the port and the proxy"
	case errors.As(err, &op) && op.Op == "dial":
		return "check the token URL's host and port, and the firewall on the way"
	}
	return ""
}
