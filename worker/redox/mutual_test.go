package redox

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// certificate of a client, signed by itself.
func certificate(t *testing.T, name string, ends time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: ends.Add(-24 * time.Hour), NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// gatekeeper is a server that lets clients in whose certificate it trusts, and counts the
// requests that arrive.
func gatekeeper(t *testing.T, version uint16, trusted ...*tls.Certificate) (*httptest.Server, *x509.CertPool, *atomic.Int32) {
	t.Helper()
	arrived, clients := new(atomic.Int32), x509.NewCertPool()
	for _, c := range trusted {
		clients.AddCert(c.Leaf)
	}
	s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
		arrived.Add(1)
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("Client", q.TLS.PeerCertificates[0].Subject.CommonName)
		w.Header().Set("Content-Type", "application/json")
		if q.URL.Path == "/upload" {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"URI":"https://blob.example/1"}`)
			return
		}
		_, _ = io.WriteString(w, accepted)
	}, func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: version, MaxVersion: version}
	})
	return s, pool, arrived
}

// tunnel is a proxy that does as it is told.
func tunnel(t *testing.T) *rawServer {
	t.Helper()
	return listen(t, func(_ *rawServer, _ int, c net.Conn, r *bufio.Reader) {
		q, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", q.Host)
		if err != nil {
			return
		}
		defer up.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(up, r)
			_ = up.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(c, up)
		c.Close()
		<-done
	})
}

// A certificate that a server refuses, or misses, is a failed handshake over TLS 1.3 as well,
// where the client learns of it after it has written its request.
func TestNotWritten_RefusedClientCertificate(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	known, expired := certificate(t, "known", soon), certificate(t, "expired", time.Now().Add(-time.Hour))
	kinds := map[string]outbox.Message{
		"small":    message(contract.LaneSend, event),
		"large":    message(contract.LaneSend, sized(5_000_000)),
		"request":  message(contract.LaneRequest, event),
		"an empty": fhir(contract.LaneRequest, "GET", "slug/Development/Patient/p-1", ""),
		"file":     {ID: "f", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindFile, ContentType: "application/pdf", Body: []byte(strings.Repeat("x", 5_000_000))},
	}
	for name, tc := range map[string]struct {
		shown *tls.Certificate
		want  string
	}{
		"none":    {nil, "certificate required"},
		"unknown": {certificate(t, "stranger", soon), "certificate"},
		"expired": {expired, "certificate"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, way := range []string{"direct", "proxy"} {
				t.Run(strings.Join([]string{name, tls.VersionName(version), way}, " "), func(t *testing.T) {
					t.Parallel()
					s, pool, arrived := gatekeeper(t, version, known, expired)
					cfg := TransportConfig{RootCAs: pool}
					if way == "proxy" {
						cfg.ProxyURL = tunnel(t).url
					}
					if tc.shown != nil {
						cfg.ClientCertificate = func() *tls.Certificate { return tc.shown }
					}
					c := client(t, s.URL, &keyring{}, using(transport(t, cfg)))
					for kind, m := range kinds {
						_, err := c.Deliver(t.Context(), m)
						e := failure(t, err)
						if e.Attempted() || e.UnknownOutcome() || e.Permanent() || e.Pauses() != "host:"+strings.TrimPrefix(s.URL, "https://") {
							t.Errorf("%s: %v, pauses %q", kind, e, e.Pauses())
						}
						if !strings.HasPrefix(e.SafeError(), "not-sent: the TLS handshake failed: the other side answered ") ||
							version == tls.VersionTLS13 && !strings.Contains(e.SafeError(), tc.want) {
							t.Errorf("%s: %s", kind, e.SafeError())
						}
					}
					if n := arrived.Load(); n != 0 {
						t.Errorf("%d requests arrived", n)
					}
				})
			}
		}
	}
}

// The certificate that is current is the one that is shown, also where a session could be
// resumed that was begun with another.
func TestNewTransport_ClientCertificate(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	old, next := certificate(t, "old", soon), certificate(t, "next", soon)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, way := range []string{"direct", "proxy"} {
			t.Run(tls.VersionName(version)+" "+way, func(t *testing.T) {
				t.Parallel()
				s, pool, _ := gatekeeper(t, version, old, next)
				var current atomic.Pointer[tls.Certificate]
				current.Store(old)
				cfg := TransportConfig{RootCAs: pool, ClientCertificate: current.Load}
				if way == "proxy" {
					cfg.ProxyURL = tunnel(t).url
				}
				tr := transport(t, cfg)
				shown := func() string {
					q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, strings.NewReader(event))
					if err != nil {
						t.Fatal(err)
					}
					response, err := tr.RoundTrip(q)
					if err != nil {
						t.Fatal(err)
					}
					defer response.Body.Close()
					_, _ = io.Copy(io.Discard, response.Body)
					return response.Header.Get("Client")
				}
				for _, c := range []*tls.Certificate{old, old, next, next, old} {
					current.Store(c)
					if got := shown(); got != c.Leaf.Subject.CommonName {
						t.Errorf("%s was shown, want %s", got, c.Leaf.Subject.CommonName)
					}
					tr.CloseIdleConnections()
				}
				file := outbox.Message{ID: "f", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindFile, ContentType: "application/pdf", Body: []byte("x")}
				for _, m := range []outbox.Message{message(contract.LaneSend, event), file} {
					if a, err := client(t, s.URL, &keyring{}, using(tr)).Deliver(t.Context(), m); err != nil || a.Flag != "" {
						t.Errorf("%s: %v %q", m.Kind, err, a.Flag)
					}
				}
			})
		}
	}
}
