package redox

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// secureServer is a TLS server and a pool that trusts it.
func secureServer(t *testing.T, h http.HandlerFunc, set func(*httptest.Server)) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quiet
	set(s)
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, pool
}

func TestNewTransport_TLS(t *testing.T) {
	t.Parallel()
	for http2, want := range map[HTTP2]string{HTTP2Off: "HTTP/1.1", HTTP2On: "HTTP/2.0", HTTP2Auto: "HTTP/1.1"} {
		protocols := make(chan string, 2)
		s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			if q.TLS.Version < tls.VersionTLS12 {
				t.Errorf("TLS version %x", q.TLS.Version)
			}
			protocols <- q.Proto
			_, _ = io.WriteString(w, accepted)
		}, func(s *httptest.Server) { s.EnableHTTP2 = true })
		file := filepath.Join(t.TempDir(), "ca.pem")
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		if err := os.WriteFile(file, block, 0o600); err != nil {
			t.Fatal(err)
		}
		for name, cfg := range map[string]TransportConfig{
			"pool": {RootCAs: pool, HTTP2: http2},
			"file": {CAFile: file, HTTP2: http2},
		} {
			c := client(t, s.URL, &keyring{}, using(transport(t, cfg)))
			if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := <-protocols; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	}
}

func TestNewTransport_Proxy(t *testing.T) {
	t.Parallel()
	s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, accepted)
	}, func(*httptest.Server) {})
	proxy := listen(t, func(_ *rawServer, _ int, c net.Conn, r *bufio.Reader) {
		q, err := http.ReadRequest(r)
		if err != nil || q.Method != http.MethodConnect {
			t.Errorf("%v %v", q, err)
			return
		}
		if user := q.Header.Get("Proxy-Authorization"); !strings.HasPrefix(user, "Basic ") {
			t.Errorf("Proxy-Authorization %q", user)
		}
		up, err := net.Dial("tcp", q.Host)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(up, r); up.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(c, up)
		c.Close()
		<-done
	})
	tr := transport(t, TransportConfig{RootCAs: pool, ProxyURL: strings.Replace(proxy.url, "//", "//user:secret@", 1)})
	c := client(t, s.URL, &keyring{}, using(tr))
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
		t.Error(err)
	}
	tr.CloseIdleConnections()
}

func TestNewTransport_Problems(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]TransportConfig{
		"redox: CAFile: open":                         {CAFile: empty + ".missing"},
		"holds no PEM certificate":                    {CAFile: empty},
		"redox: ProxyURL: not a URL":                  {ProxyURL: "http://user:secret@host:bad port"},
		"redox: ProxyURL: not a URL; use one like":    {ProxyURL: "proxy.example"},
		`redox: ProxyURL: scheme "ftp"`:               {ProxyURL: "ftp://user:secret@host"},
		"redox: Concurrency: -3; use 1 or more":       {Concurrency: -3},
		"redox: MaxDials: -2; use 1 or more, or -1":   {MaxDials: -2},
		"redox: IdleTimeout: -2ns; use more than 0s,": {IdleTimeout: -2},
		`redox: HTTP2: "yes"; use auto, on or off`:    {HTTP2: "yes"},
	} {
		_, err := NewTransport(cfg)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestNewTransport_ColdStartDialsAFewAtATime(t *testing.T) {
	t.Parallel()
	const callers = 100
	var now, most atomic.Int32
	started, gate := make(chan struct{}, 2*callers), make(chan struct{})
	s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, accepted)
	}, func(s *httptest.Server) {
		s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			started <- struct{}{}
			<-gate
			return nil, nil
		}}
	})
	c := client(t, s.URL, &keyring{}, using(transport(t, TransportConfig{RootCAs: pool, Concurrency: callers})))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 16 { // as many as may dial are in their handshake, and stay there
		<-started
	}
	close(gate)
	all.Wait()
	if got := most.Load(); got != 16 {
		t.Errorf("%d handshakes at one time", got)
	}
}

func TestTransportConfig_ProxyOfTheEnvironment(t *testing.T) {
	t.Parallel()
	if proxy, err := (TransportConfig{}).proxy(); err != nil || proxy == nil {
		t.Errorf("the proxy of the environment is not used: %v", err)
	}
}
