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

	"github.com/redoxworker/redoxworker/outbox"
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
		case *http2.DataFrame:
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

// net/http sends a request again after these answers, if it can rewind the body.
func TestWritten_HTTP2IsNeverResentSilently(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(f *http2.Framer, stream uint32){
		"PROTOCOL_ERROR": func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeProtocol) },
		"REFUSED_STREAM": func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) },
		"INTERNAL_ERROR": func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeInternal) },
		"GOAWAY":         func(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var n atomic.Int32
			url, pool, arrived := listen2(t, func(f *http2.Framer, stream uint32) {
				if n.Add(1) == 1 {
					respond2(f, stream) // the connection is good, and reused for the next
					return
				}
				end(f, stream)
			})
			c := client(t, url, &keyring{}, using(transport(t, TransportConfig{RootCAs: pool, HTTP2: true})))
			if _, err := c.Deliver(t.Context(), message(outbox.LaneSend, event)); err != nil {
				t.Fatal(err)
			}
			_, err := c.Deliver(t.Context(), message(outbox.LaneSend, event))
			if e := failure(t, err); !e.Attempted() || !e.UnknownOutcome() {
				t.Errorf("%+v", e)
			}
			if got := arrived.Load(); got != 2 {
				t.Errorf("%d requests arrived for 2 messages", got)
			}
		})
	}
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
	c := client(t, s.URL, &keyring{}, using(transport(t, TransportConfig{RootCAs: pool, HTTP2: true, Concurrency: callers})))
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if _, err := c.Deliver(t.Context(), message(outbox.LaneSend, event)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(connections) > http2Conns {
		t.Errorf("%d connections", len(connections))
	}
}
