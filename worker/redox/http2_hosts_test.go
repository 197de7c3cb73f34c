package redox

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// crowded is a server that answers when so many requests are there at once, with or without
// HTTP/2. It answers how many connections and handshakes there were.
type crowded struct {
	*httptest.Server
	pool        *x509.CertPool
	connections atomic.Int32
	protocols   sync.Map
}

func newCrowded(t *testing.T, crowd int, http2 bool) *crowded {
	t.Helper()
	s, all, here := new(crowded), make(chan struct{}), new(atomic.Int32)
	s.Server, s.pool = secureServer(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		s.protocols.Store(q.Proto, true)
		if here.Add(1) == int32(crowd) {
			close(all)
		}
		<-all
		_, _ = io.WriteString(w, accepted)
	}, func(server *httptest.Server) {
		server.EnableHTTP2 = http2
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				s.connections.Add(1)
			}
		}
	})
	return s
}

// send has so many messages in flight at once, and ends when all are answered.
func (s *crowded) send(t *testing.T, c *Client, crowd int) {
	t.Helper()
	var all sync.WaitGroup
	for range crowd {
		all.Go(func() { deliver(t, c, message(contract.LaneSend, event)) })
	}
	all.Wait()
}

// All messages are in flight at once, whether their host offers HTTP/2 or not, and from the
// first on: the test would hang otherwise.
func TestHTTP2_AllInFlightAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		crowd   int
		offered bool
		used    HTTP2
		want    string
		most    int32 // connections
	}{
		"few, offered":       {64, true, HTTP2On, "HTTP/2.0", 3 * httpwire.HTTP2Dials},
		"few, not offered":   {64, false, HTTP2On, "HTTP/1.1", 64 + 1},
		"few, by itself":     {64, true, HTTP2Auto, "HTTP/1.1", 64},
		"many, offered":      {1000, true, HTTP2Auto, "HTTP/2.0", 3 * httpwire.HTTP2Dials},
		"many, not offered":  {300, false, HTTP2Auto, "HTTP/1.1", 300 + 1},
		"many, not wanted":   {300, true, HTTP2Off, "HTTP/1.1", 300},
		"just as many as it": {manyInFlight, true, HTTP2Auto, "HTTP/2.0", 3 * httpwire.HTTP2Dials},
		"one less":           {manyInFlight - 1, true, HTTP2Auto, "HTTP/1.1", manyInFlight - 1},
	} {
		for _, way := range []string{"direct", "proxy"} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				s := newCrowded(t, tc.crowd, tc.offered)
				cfg := TransportConfig{RootCAs: s.pool, HTTP2: tc.used, Concurrency: tc.crowd}
				if way == "proxy" {
					cfg.ProxyURL = tunnel(t).url
				}
				s.send(t, client(t, s.URL, &keyring{}, using(transport(t, cfg))), tc.crowd)
				if n := s.connections.Load(); n > tc.most {
					t.Errorf("%d connections, at most %d wanted", n, tc.most)
				}
				s.protocols.Range(func(protocol, _ any) bool {
					if protocol != tc.want {
						t.Errorf("%s, want %s", protocol, tc.want)
					}
					return true
				})
			})
		}
	}
}

// Over HTTP/2 one connection is opened at first, and not one by each that waits for it.
func TestHTTP2_ColdStartOpensOne(t *testing.T) {
	t.Parallel()
	const callers = 100
	hands, gate := make(chan struct{}, callers), make(chan struct{})
	s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, accepted)
	}, func(s *httptest.Server) {
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			hands <- struct{}{}
			<-gate
			return nil, nil
		}}
	})
	tr := transport(t, TransportConfig{RootCAs: pool, HTTP2: HTTP2On})
	c := client(t, s.URL, &keyring{}, using(tr))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() { deliver(t, c, message(contract.LaneSend, event)) })
	}
	<-hands
	close(gate)
	all.Wait()
	if n := len(hands); n != 0 {
		t.Errorf("%d connections more", n)
	}
}

// speaking is a server over TLS in fake time, and a transport with HTTP/2 to it.
func speaking(t *testing.T, cfg TransportConfig, h http.HandlerFunc, f func(t *testing.T, tr *Transport, opened *atomic.Int32)) {
	t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	certified.Close()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		s := &http.Server{ErrorLog: quiet, Handler: h, TLSConfig: &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}}
		served := make(chan struct{})
		go func() { _ = s.ServeTLS(p, "", ""); close(served) }()
		cfg.ProxyURL, cfg.HTTP2, cfg.RootCAs = "none", HTTP2On, x509.NewCertPool()
		cfg.RootCAs.AddCert(certified.Certificate())
		var opened atomic.Int32
		tr, err := newTransport(cfg, func(ctx context.Context, network, addr string) (net.Conn, error) {
			opened.Add(1)
			return p.dial(ctx, network, addr)
		})
		if err != nil {
			t.Fatal(err)
		}
		f(t, tr, &opened)
		tr.CloseIdleConnections()
		s.Close()
		<-served
	})
}

func acceptAll(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	bubble.Sleep(time.Millisecond)
	_, _ = io.WriteString(w, accepted)
}

// A busy connection of HTTP/2 is given up at its greatest age, and an idle one when it may be
// idle no longer.
func TestHTTP2_MaxConnectionAge(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg         TransportConfig
		pause       time.Duration
		least, most int32 // connections in an hour
	}{
		"five minutes": {TransportConfig{MaxConnectionAge: 5 * time.Minute}, 10 * time.Second, 10, 14},
		"no limit":     {TransportConfig{MaxConnectionAge: -1}, 10 * time.Second, 1, 1},
		"idle":         {TransportConfig{MaxConnectionAge: -1}, 51 * time.Second, 70, 71},
		"never idle":   {TransportConfig{MaxConnectionAge: -1, IdleTimeout: -1}, 10 * time.Minute, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			speaking(t, tc.cfg, acceptAll, func(t *testing.T, tr *Transport, opened *atomic.Int32) {
				c := client(t, "https://example.com", &keyring{}, using(tr))
				for start := time.Now(); time.Since(start) < time.Hour; bubble.Sleep(tc.pause) {
					deliver(t, c, message(contract.LaneSend, event))
				}
				if n := opened.Load(); n < tc.least || n > tc.most {
					t.Errorf("%d connections in an hour, want %d to %d", n, tc.least, tc.most)
				}
			})
		})
	}
}

// A request that is under way when its connection grows too old gets its answer.
func TestHTTP2_AgeCutsNothingOff(t *testing.T) {
	t.Parallel()
	slow := func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		_, _ = io.WriteString(w, accepted[:10])
		w.(http.Flusher).Flush()
		bubble.Sleep(2 * time.Minute)
		_, _ = io.WriteString(w, accepted[10:])
	}
	speaking(t, TransportConfig{MaxConnectionAge: time.Minute}, slow, func(t *testing.T, tr *Transport, opened *atomic.Int32) {
		c := client(t, "https://example.com", &keyring{}, using(tr))
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				bubble.Sleep(time.Duration(i) * 30 * time.Second)
				if a, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil || a.Flag != "" {
					t.Error(err, a.Flag)
				}
			})
		}
		all.Wait()
		if n := opened.Load(); n < 4 {
			t.Errorf("%d connections", n)
		}
	})
}

// After the client's certificate was replaced no request is sent under the old one, also not on
// a connection that others still use.
func TestHTTP2_NewClientCertificate(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	old, next := certificate(t, "old", soon), certificate(t, "next", soon)
	for _, way := range []string{"direct", "proxy"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			names, gate := make(chan string, 2), make(chan struct{})
			clients := x509.NewCertPool()
			clients.AddCert(old.Leaf)
			clients.AddCert(next.Leaf)
			s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
				_, _ = io.Copy(io.Discard, q.Body)
				name := q.TLS.PeerCertificates[0].Subject.CommonName
				if names <- name + " " + q.Proto; name == "old" {
					<-gate
				}
				_, _ = io.WriteString(w, accepted)
			}, func(s *httptest.Server) {
				s.EnableHTTP2 = true
				s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
			})
			var current atomic.Pointer[tls.Certificate]
			current.Store(old)
			cfg := TransportConfig{RootCAs: pool, HTTP2: HTTP2On, ClientCertificate: current.Load}
			if way == "proxy" {
				cfg.ProxyURL = tunnel(t).url
			}
			tr := transport(t, cfg)
			c := client(t, s.URL, &keyring{}, using(tr))
			var all sync.WaitGroup
			all.Go(func() { deliver(t, c, message(contract.LaneSend, event)) })
			if got := <-names; got != "old HTTP/2.0" {
				t.Error(got)
			}
			current.Store(next)
			tr.CloseIdleConnections()
			deliver(t, c, message(contract.LaneSend, event))
			if got := <-names; got != "next HTTP/2.0" {
				t.Error(got)
			}
			close(gate)
			all.Wait()
		})
	}
}

// Tokens go the same way.
func TestHTTP2_Tokens(t *testing.T) {
	t.Parallel()
	s := newCrowded(t, 1, true)
	tr := transport(t, TransportConfig{RootCAs: s.pool, HTTP2: HTTP2On})
	for range 3 {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v2/auth/token", strings.NewReader("grant"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := tr.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = bufio.NewReader(response.Body).WriteTo(io.Discard); err != nil || response.ProtoMajor != 2 {
			t.Error(err, response.Proto)
		}
		response.Body.Close()
	}
	deliver(t, client(t, s.URL, &keyring{}, using(tr)), message(contract.LaneSend, event))
	if n := s.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
