package httpwire

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// An alert that may come after a handshake as well does not tell of one that failed.
func TestHandshakeAlert(t *testing.T) {
	t.Parallel()
	alert := func(n uint8) error { return &net.OpError{Op: "remote error", Err: tls.AlertError(n)} }
	for _, n := range []uint8{40, 42, 43, 44, 45, 46, 48, 49, 51, 70, 71, 109, 110, 112, 113, 115, 116, 120} {
		if handshakeAlert(alert(n)) == nil {
			t.Errorf("alert %d", n)
		}
	}
	for _, n := range []uint8{10, 20, 21, 22, 47, 50, 80, 86, 90, 100, 200} {
		if handshakeAlert(alert(n)) != nil {
			t.Errorf("alert %d may be about what was written", n)
		}
	}
	for _, err := range []error{nil, io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "local error", Err: tls.AlertError(42)}, &net.OpError{Op: "read", Err: io.EOF}} {
		if handshakeAlert(err) != nil {
			t.Error(err)
		}
	}
}

// An alert tells of a handshake that failed only where it is the first thing that came over a
// new connection of TLS 1.3.
func TestWatch_Refused(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.TLS = &tls.Config{MaxVersion: version}
		s.StartTLS()
		t.Cleanup(s.Close)
		pool := x509.NewCertPool()
		pool.AddCert(s.Certificate())
		for name, set := range map[string]func(*Watch){
			"new":    func(*Watch) {},
			"no TLS": func(w *Watch) { w.secured = nil }, "no connection": func(w *Watch) { w.Got = false }, "reused": func(w *Watch) { w.Reused = true },
			"after an answer": func(w *Watch) { w.answers.Store(true) }, "after another connection": func(w *Watch) { w.earlier = true },
		} {
			conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "example.com"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			w := &Watch{Got: true, secured: conn}
			set(w)
			want := name == "new" && version == tls.VersionTLS13
			if got := w.Refused(&net.OpError{Op: "remote error", Err: tls.AlertError(116)}) != nil; got != want {
				t.Errorf("%s, %s: %v", tls.VersionName(version), name, got)
			}
			if w.Refused(io.ErrUnexpectedEOF) != nil {
				t.Errorf("%s, %s: refused without an alert", tls.VersionName(version), name)
			}
		}
	}
}
