package auth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

// TestEndpoint_TLS12OrLater: SMART wants it, and the transports of this package take no
// less. A server that speaks TLS 1.1 at most is refused before its certificate is seen.
func TestEndpoint_TLS12OrLater(t *testing.T) {
	t.Parallel()
	for version, want := range map[uint16]string{
		tls.VersionTLS11: "protocol version",
		tls.VersionTLS12: "", tls.VersionTLS13: "",
	} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"Bearer","expires_in":300}`)
		}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
		s.StartTLS()
		own := remote.Transport()
		own.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()} // versions as net/http has them
		own.TLSClientConfig.RootCAs.AddCert(s.Certificate())
		_, err := must(NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: s.URL, Transport: own})).Mint(t.Context())
		e, _ := errors.AsType[*TokenError](err)
		switch {
		case want == "" && err != nil:
			t.Errorf("TLS %x: %v", version, err)
		case want != "" && (e == nil || !e.Temporary() || !strings.Contains(err.Error(), want)):
			t.Errorf("TLS %x: %v, want %q in it", version, err, want)
		}
		own.CloseIdleConnections()
		s.Close()
	}
}

// TestEndpoint_UnknownAuthority names the mend where a proxy opens TLS.
func TestEndpoint_UnknownAuthority(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	checks := must(NewOAuth("c", ecKey("k"), OAuthConfig{TokenURL: s.URL})).Check(t.Context())
	if len(checks) != 1 || checks[0].OK() || !strings.Contains(checks[0].Mend, "give the CA") {
		t.Errorf("%+v", checks)
	}
}
