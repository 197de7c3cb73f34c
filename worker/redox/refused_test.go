package redox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// declining is the error of a RoundTripper that says that it sent nothing.
type declining struct{ error }

func (declining) Attempted() bool { return false }
func (e declining) Unwrap() error { return e.error }

type declinedSafely struct{ declining }

func (declinedSafely) Pauses() string            { return "breaker" }
func (declinedSafely) RetryAfter() time.Duration { return time.Minute }
func (declinedSafely) SafeError() string         { return "the circuit is open" }

var errCircuit = errors.New("circuit open for Timothy")

func TestNotWritten_RoundTripperSaysSo(t *testing.T) {
	t.Parallel()
	const host = "host:api.example"
	for name, tc := range map[string]struct {
		err            error
		attempted      bool
		pauses, detail string
		after          time.Duration
	}{
		"says so":      {declining{errCircuit}, false, host, "not-sent: the transport did not send it", 0},
		"and more":     {declinedSafely{declining{errCircuit}}, false, "breaker", "not-sent: the transport did not send it: the circuit is open", time.Minute},
		"in a chain":   {errors.Join(errors.New("Timothy"), declining{errCircuit}), false, host, "not-sent: the transport did not send it", 0},
		"says nothing": {errCircuit, true, "", "no-answer: the connection broke before the answer; the outcome is unknown", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, "https://api.example", &keyring{}, using(roundTripper(func(*http.Request) (*http.Response, error) { return nil, tc.err })))
			_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
			e := failure(t, err)
			if e.Attempted() != tc.attempted || e.UnknownOutcome() != tc.attempted || e.Pauses() != tc.pauses || e.RetryAfter() != tc.after || e.SafeError() != tc.detail {
				t.Errorf("%+v", e)
			}
			if !errors.Is(err, errCircuit) || strings.Contains(e.Error()+e.SafeError(), "Timothy") {
				t.Errorf("%v, is the transport's: %v", err, errors.Is(err, errCircuit))
			}
		})
	}
}

// A transport that returns why the attempt was cancelled says nothing about the request.
func TestWritten_WhyItWasCancelledIsNoClaim(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	c := client(t, "https://api.example", &keyring{}, using(roundTripper(func(q *http.Request) (*http.Response, error) {
		cancel(declining{errCircuit})
		return nil, context.Cause(q.Context())
	})))
	_, err := c.Deliver(ctx, message(contract.LaneSend, event))
	if e := failure(t, err); !e.Attempted() || !e.UnknownOutcome() {
		t.Errorf("%+v", e)
	}
}

// A claim does not count against bytes that were seen to leave, on whatever connection.
func TestWritten_WhateverTheRoundTripperSays(t *testing.T) {
	t.Parallel()
	s := listen(t, func(s *rawServer, _ int, c net.Conn, r *bufio.Reader) { s.request(r); reset(c) })
	tr := transport(t, TransportConfig{})
	for name, claim := range map[string]roundTripper{
		"after one try": func(q *http.Request) (*http.Response, error) {
			_, err := tr.RoundTrip(q)
			return nil, declining{err}
		},
		"after another connection": func(q *http.Request) (*http.Response, error) {
			trace := httptrace.ContextClientTrace(q.Context())
			first := httpwire.PlainConn(nil)
			trace.GotConn(httptrace.GotConnInfo{Conn: first})
			first.Counted.Written.Add(1000)
			trace.GotConn(httptrace.GotConnInfo{Conn: httpwire.PlainConn(nil)})
			return nil, declining{errCircuit}
		},
	} {
		_, err := client(t, s.url, &keyring{}, using(claim)).Deliver(t.Context(), message(contract.LaneSend, event))
		if e := failure(t, err); !e.Attempted() || !e.UnknownOutcome() {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// What a RoundTripper of somebody else must not do ends an attempt, not the process.
func TestDeliver_CarelessRoundTripper(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]roundTripper{
		"nothing": func(*http.Request) (*http.Response, error) { return nil, nil },
		"no body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 503, Header: http.Header{}}, nil
		},
	} {
		_, err := client(t, "https://api.example", &keyring{}, using(answer)).Deliver(t.Context(), message(contract.LaneSend, event))
		if e := failure(t, err); !e.Attempted() || (e.Status() == 503) != (name == "no body") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// socks5 is a SOCKS proxy that answers every request with one reply.
func socks5(t *testing.T, method, reply byte) string {
	t.Helper()
	s := listen(t, func(_ *rawServer, _ int, c net.Conn, r *bufio.Reader) {
		hello := make([]byte, 2)
		if _, err := io.ReadFull(r, hello); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, r, int64(hello[1]))
		_, _ = c.Write([]byte{5, method})
		switch method {
		case 2: // user and password
			_, _ = io.CopyN(io.Discard, r, 3+4+6)
			_, _ = c.Write([]byte{1, 1})
			return
		case 0xff:
			return
		}
		_, _ = io.CopyN(io.Discard, r, 4+1+11+2)
		_, _ = c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0})
		_, _ = io.Copy(io.Discard, r)
	})
	return strings.Replace(s.url, "http://", "socks5://user:secret@", 1)
}

func TestNotWritten_ProxyRefusesByName(t *testing.T) {
	t.Parallel()
	refusing := func(status int) string {
		return serve(t, respond(status, "Timothy", "Proxy-Authenticate", `Basic realm="Timothy"`, "Location", "http://login.example/Timothy")).URL
	}
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(407) }))
	t.Cleanup(secure.Close)
	pool := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for name, tc := range map[string]struct{ proxy, want string }{
		"302":                 {refusing(302), "the proxy refused the connection with status 302"},
		"403":                 {refusing(403), "the proxy refused the connection with status 403"},
		"407":                 {refusing(407), "the proxy refused the connection with status 407"},
		"407 with a password": {strings.Replace(refusing(407), "//", "//user:secret@", 1), "the proxy refused the connection with status 407"},
		"502":                 {refusing(502), "the proxy refused the connection with status 502"},
		"503":                 {refusing(503), "the proxy refused the connection with status 503"},
		"204":                 {refusing(204), "the proxy refused the connection with status 204"},
		"https":               {secure.URL, "the proxy refused the connection with status 407"},
		"https, unknown CA":   {strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), "the proxy could not be used"},
		"SOCKS ruleset":       {socks5(t, 0, 2), "the proxy refused the connection: connection not allowed by ruleset"},
		"SOCKS host":          {socks5(t, 0, 4), "the proxy refused the connection: host unreachable"},
		"SOCKS password":      {socks5(t, 2, 0), "the proxy refused the connection: username/password authentication failed"},
		"SOCKS no method":     {socks5(t, 0xff, 0), "the proxy refused the connection: no acceptable authentication methods"},
		"SOCKS, no proxy":     {strings.Replace(closedPort(t), "http", "socks5", 1), "the proxy could not be used"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, "https://api.example", &keyring{}, using(transport(t, TransportConfig{ProxyURL: tc.proxy, RootCAs: pool})))
			_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
			e := failure(t, err)
			if e.Attempted() || e.UnknownOutcome() || e.Pauses() != "host:api.example" || e.SafeError() != "not-sent: "+tc.want {
				t.Errorf("%s, pauses %q", e.SafeError(), e.Pauses())
			}
			for _, secret := range []string{"Timothy", "secret"} {
				if strings.Contains(e.Error(), secret) {
					t.Errorf("%s is in %v", secret, e)
				}
			}
		})
	}
}
