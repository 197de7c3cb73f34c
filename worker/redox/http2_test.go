package redox

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// listen2 speaks bare HTTP/2: it reads each request whole, then calls end. It answers how
// many requests arrived.
func listen2(t *testing.T, end func(f *http2.Framer, stream uint32)) (url string, pool *x509.CertPool, arrived *atomic.Int32) {
	t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	certified.Close()
	pool = x509.NewCertPool()
	pool.AddCert(certified.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	arrived = new(atomic.Int32)
	var running sync.WaitGroup
	var open sync.Map
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			running.Go(func() { defer c.Close(); frames(c, arrived, end) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
		running.Wait()
	})
	return "https://" + l.Addr().String(), pool, arrived
}

func frames(c net.Conn, arrived *atomic.Int32, end func(*http2.Framer, uint32)) {
	if _, err := io.CopyN(io.Discard, c, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(c, c)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			if frame.StreamEnded() {
				arrived.Add(1)
				end(f, frame.StreamID)
			}
		case *http2.DataFrame:
			if n := uint32(frame.Length); n > 0 {
				_ = f.WriteWindowUpdate(0, n)
				_ = f.WriteWindowUpdate(frame.StreamID, n)
			}
			if frame.StreamEnded() {
				arrived.Add(1)
				end(f, frame.StreamID)
			}
		}
	}
}

func respond2(f *http2.Framer, stream uint32) {
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true})
	_ = f.WriteData(stream, true, []byte(accepted))
}

func TestHTTP2_ManyOnFewConnections(t *testing.T) {
	t.Parallel()
	const callers = 200
	var mu sync.Mutex
	connections := map[string]bool{}
	s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		mu.Lock()
		connections[q.RemoteAddr] = true
		mu.Unlock()
		_, _ = io.WriteString(w, accepted)
	}, func(s *httptest.Server) { s.EnableHTTP2 = true })
	c := client(t, s.URL, &keyring{}, using(transport(t, TransportConfig{RootCAs: pool, HTTP2: HTTP2On, Concurrency: callers})))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(connections) > 3*httpwire.HTTP2Dials {
		t.Errorf("%d connections", len(connections))
	}
}
