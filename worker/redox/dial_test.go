package redox

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

func TestDialer_GivesItsSlotBack(t *testing.T) {
	t.Parallel()
	refused := closedPort(t)
	text := listen(t, func(_ *rawServer, _ int, c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, "no TLS\r\n") })
	tr := transport(t, TransportConfig{MaxDials: 1})
	for range 3 { // a slot that is kept would block the second round for ever
		get(t, tr, refused)
		get(t, tr, "https://"+strings.TrimPrefix(text.url, "http://"))
	}
	free := transport(t, TransportConfig{MaxDials: -1})
	get(t, free, refused)
}

// get asks url over a connection that cannot be opened.
func get(t *testing.T, tr *Transport, url string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := tr.RoundTrip(q); err == nil {
		response.Body.Close()
		t.Error("there is an answer of", url)
	}
}

// silent is a connection on which the other side never says anything.
type silent struct {
	net.Conn
	closed chan struct{}
	once   sync.Once
}

func (c *silent) Write(p []byte) (int, error)     { return len(p), nil }
func (c *silent) Read([]byte) (int, error)        { <-c.closed; return 0, net.ErrClosed }
func (c *silent) Close() error                    { c.once.Do(func() { close(c.closed) }); return nil }
func (c *silent) SetDeadline(time.Time) error     { return nil }
func (c *silent) SetReadDeadline(time.Time) error { return nil }

func TestDeliver_HandshakeThatNeverEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tr, err := newTransport(TransportConfig{ProxyURL: "none"}, func(context.Context, string, string) (net.Conn, error) {
			return &silent{closed: make(chan struct{})}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c := client(t, "https://api.example", &keyring{}, using(tr))
		start := time.Now()
		_, err = c.Deliver(t.Context(), message(contract.LaneSend, event))
		e := failure(t, err)
		if e.Attempted() || e.Pauses() != "host:api.example" || e.SafeError() != "not-sent: the TLS handshake failed" {
			t.Errorf("%+v", e)
		}
		if took := time.Since(start); took != 10*time.Second || !strings.Contains(e.Error(), "timed out after 10s") {
			t.Errorf("after %v: %v", took, e)
		}
	})
}

func TestSend_GivesUpAfterManyStaleConnections(t *testing.T) {
	t.Parallel()
	calls := 0
	stale := roundTripper(func(q *http.Request) (*http.Response, error) {
		calls++
		trace := httptrace.ContextClientTrace(q.Context())
		trace.GetConn("")
		trace.GotConn(httptrace.GotConnInfo{Conn: httpwire.PlainConn(nil), Reused: true})
		return nil, io.EOF
	})
	_, err := client(t, "https://api.example", &keyring{}, using(stale)).Deliver(t.Context(), message(contract.LaneSend, event))
	e := failure(t, err)
	if calls != maxStale+1 || e.Attempted() || e.Pauses() != "host:api.example" || !errors.Is(err, io.EOF) {
		t.Errorf("%d calls, %+v", calls, e)
	}
}

// A server that takes over the connection has not answered.
func TestDeliver_SwitchingProtocolsIsNoAnswer(t *testing.T) {
	t.Parallel()
	s := listen(t, func(s *rawServer, _ int, c net.Conn, r *bufio.Reader) {
		s.request(r)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_, _ = r.ReadByte() // until the client hangs up
	})
	c := client(t, s.url, &keyring{}, using(transport(t, TransportConfig{})))
	a, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); !e.Permanent() || e.Status() != 101 || len(a.Body) != 0 {
		t.Errorf("%+v", e)
	}
}
