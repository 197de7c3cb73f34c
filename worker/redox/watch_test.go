package redox

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// rawServer speaks HTTP over bare TCP, so that it can break off at any byte.
type rawServer struct {
	url    string
	mu     sync.Mutex
	bodies []string // of the requests that arrived whole
}

// listen runs script for each connection, n counting from 1, and closes the connection
// after it. All are closed and joined at the end of the test.
func listen(t *testing.T, script func(s *rawServer, n int, c net.Conn, r *bufio.Reader)) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{url: "http://" + l.Addr().String()}
	var running sync.WaitGroup
	running.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { c.Close() })
			running.Go(func() {
				defer c.Close()
				script(s, n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return s
}

// request reads one request and records its body if it is whole.
func (s *rawServer) request(r *bufio.Reader) bool {
	q, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
	return true
}

func (s *rawServer) arrived() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies
}

func say(c net.Conn, body string) {
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// reset closes c with a TCP reset.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// named is an event whose first name is id, so that a body names its message.
func named(id string) outbox.Message {
	m := message(contract.LaneSend, strings.Replace(event, "Timothy", id, 1))
	m.ID = id
	return m
}

// breaks are ways to break off after something of the request has arrived.
var breaks = map[string]func(s *rawServer, c net.Conn, r *bufio.Reader){
	"reset after the request":  func(s *rawServer, c net.Conn, r *bufio.Reader) { s.request(r); reset(c) },
	"closed after the request": func(s *rawServer, c net.Conn, r *bufio.Reader) { s.request(r) },
	"reset after the headers": func(s *rawServer, c net.Conn, r *bufio.Reader) {
		for line := ""; line != "\r\n"; {
			line, _ = r.ReadString('\n')
		}
		reset(c)
	},
	"half a status line": func(s *rawServer, c net.Conn, r *bufio.Reader) { s.request(r); io.WriteString(c, "HTTP/1.1 2") },
	"half of the headers": func(s *rawServer, c net.Conn, r *bufio.Reader) {
		s.request(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Patient: Timothy")
	},
	"no HTTP": func(s *rawServer, c net.Conn, r *bufio.Reader) {
		s.request(r)
		io.WriteString(c, "Timothy Bixby 1977\r\n\r\n")
	},
	"malformed header": func(s *rawServer, c net.Conn, r *bufio.Reader) {
		s.request(r)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTimothy Bixby\r\n\r\n")
	},
	"100 only": func(s *rawServer, c net.Conn, r *bufio.Reader) {
		s.request(r)
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
	},
}

func TestWritten_NeverResentSilently(t *testing.T) {
	t.Parallel()
	for name, end := range breaks {
		for _, kind := range []string{"on a new connection", "on a reused connection"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				var broken atomic.Int32
				s := listen(t, func(s *rawServer, n int, c net.Conn, r *bufio.Reader) {
					if kind == "on a reused connection" && n == 1 {
						s.request(r)
						say(c, accepted)
					}
					broken.Add(1)
					end(s, c, r)
				})
				c := client(t, s.url, &keyring{}, using(transport(t, TransportConfig{})))
				if kind == "on a reused connection" {
					if _, err := c.Deliver(t.Context(), named("first")); err != nil {
						t.Fatal(err)
					}
				}
				for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
					m := named(string(lane))
					m.Lane = lane
					_, err := c.Deliver(t.Context(), m)
					e := failure(t, err)
					if !e.Attempted() || e.UnknownOutcome() != (lane == contract.LaneSend) || e.Permanent() || e.Pauses() != "" || e.Class() != ClassNoAnswer {
						t.Errorf("%s: %+v", lane, e)
					}
					if strings.Contains(err.Error(), "Timothy") {
						t.Errorf("the error quotes the answer: %v", err)
					}
				}
				if n := broken.Load(); n != 2 {
					t.Errorf("%d connections were used for 2 requests: one was sent again", n)
				}
				count := map[string]int{}
				for _, body := range s.arrived() {
					if count[body]++; count[body] > 1 {
						t.Errorf("arrived twice: %s", body)
					}
				}
			})
		}
	}
}

// Nor is what has no body, and what net/http takes to be safe to repeat.
func TestWritten_NoBodyIsNeverResentSilently(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
		for name, end := range breaks {
			t.Run(method+" "+name, func(t *testing.T) {
				t.Parallel()
				var broken atomic.Int32
				s := listen(t, func(s *rawServer, n int, c net.Conn, r *bufio.Reader) {
					if n == 1 {
						s.request(r)
						say(c, "")
					}
					broken.Add(1)
					end(s, c, r)
				})
				c := client(t, s.url, &keyring{}, using(transport(t, TransportConfig{})))
				m := fhir(contract.LaneRequest, "GET", "slug/Development/Patient/p-1", "")
				if _, err := c.Deliver(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				m.Method = method
				_, err := c.Deliver(t.Context(), m)
				if e := failure(t, err); !e.Attempted() || e.Class() != ClassNoAnswer || e.Pauses() != "" {
					t.Errorf("%+v", e)
				}
				if n := broken.Load(); n != 1 {
					t.Errorf("%d connections broke for 1 request: it was sent again", n)
				}
			})
		}
	}
}

// A server that closes each connection right after its answer: the client may find the
// connection dead before it writes, while it writes, or after. Whatever happens, no
// message arrives twice, and one that was delivered or known not to be sent is no guess.
func TestWritten_ServerClosesIdleConnections(t *testing.T) {
	t.Parallel()
	const messages = 300
	s := listen(t, func(s *rawServer, _ int, c net.Conn, r *bufio.Reader) {
		if s.request(r) {
			say(c, accepted)
		}
	})
	c := client(t, s.url, &keyring{}, using(transport(t, TransportConfig{})))
	delivered := map[string]bool{}
	for i := range messages {
		id := fmt.Sprintf("message-%d-", i)
		_, err := c.Deliver(t.Context(), named(id))
		if err == nil {
			delivered[id] = true
			continue
		}
		if e := failure(t, err); !e.UnknownOutcome() {
			t.Errorf("%s: %+v", id, e)
		}
	}
	count := map[string]int{}
	for _, body := range s.arrived() {
		m := body[strings.Index(body, "message-"):]
		count[m[:strings.LastIndex(m, "-")+1]]++
	}
	for id, n := range count {
		if n > 1 {
			t.Errorf("%s arrived %d times", id, n)
		}
	}
	for id := range delivered {
		if count[id] != 1 {
			t.Errorf("%s was delivered and arrived %d times", id, count[id])
		}
	}
}

// deadConn is a connection whose writes fail once dead says so, before a byte leaves.
type deadConn struct {
	net.Conn
	dead *atomic.Bool
}

func (c *deadConn) Write(p []byte) (int, error) {
	if c.dead.Load() {
		c.dead.Store(false)
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return c.Conn.Write(p)
}

// dying is a transport whose connections die when dead is set.
func dying(t *testing.T, dead *atomic.Bool) *Transport {
	return dialing(t, TransportConfig{}, func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &deadConn{c, dead}, err
	})
}

func TestWritten_DeadReusedConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	var dead atomic.Bool
	c := client(t, r.URL, &keyring{}, using(dying(t, &dead)))
	for i := range 3 {
		dead.Store(i > 0)
		if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
			t.Fatal(err)
		}
	}
	seen := r.seen()
	if len(seen) != 3 || seen[0].remote == seen[1].remote {
		t.Errorf("%d requests arrived", len(seen))
	}
}

func TestWritten_DeadNewConnectionIsNoAttempt(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	var dead atomic.Bool
	dead.Store(true)
	c := client(t, r.URL, &keyring{}, using(dying(t, &dead)))
	_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); e.Attempted() || e.UnknownOutcome() || e.Pauses() != "host:"+strings.TrimPrefix(r.URL, "http://") {
		t.Errorf("%+v", e)
	}
	if len(r.seen()) != 0 {
		t.Error("it arrived")
	}
}

func TestWritten_ForeignTransport(t *testing.T) {
	t.Parallel()
	boom := errors.New("Timothy")
	c := client(t, "http://127.0.0.1:1", &keyring{}, using(roundTripper(func(*http.Request) (*http.Response, error) { return nil, boom })))
	_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); !e.Attempted() || !e.UnknownOutcome() || strings.Contains(e.Error(), "Timothy") {
		t.Errorf("a transport that tells nothing: %+v", e)
	}
	// net/http's with a dialer that does not count.
	s := listen(t, func(s *rawServer, _ int, _ net.Conn, r *bufio.Reader) { s.request(r) })
	plain := &http.Transport{}
	t.Cleanup(plain.CloseIdleConnections)
	_, err = client(t, s.url, &keyring{}, using(plain)).Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); !e.Attempted() || !e.UnknownOutcome() {
		t.Errorf("an uncounted connection: %+v", e)
	}
	refused := client(t, closedPort(t), &keyring{}, using(plain))
	_, err = refused.Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); e.Attempted() {
		t.Errorf("a refused connection: %+v", e)
	}
}

// closedPort is a URL at which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestNotWritten(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it arrived") }))
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	old := httptest.NewUnstartedServer(secure.Config.Handler)
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11}
	old.Config.ErrorLog = quiet
	old.StartTLS()
	t.Cleanup(old.Close)
	text := listen(t, func(_ *rawServer, _ int, c net.Conn, _ *bufio.Reader) { io.WriteString(c, "220 Timothy's mail\r\n") })
	forbidding := serve(t, respond(403, "Timothy"))
	for name, tc := range map[string]struct{ url, proxy, want string }{
		"refused":         {closedPort(t), "", "not-sent: no connection"},
		"no such host":    {"https://no-such-host.invalid", "", "not-sent: the host name could not be resolved"},
		"unknown CA":      {secure.URL, "", "not-sent: the TLS handshake failed"},
		"TLS 1.1":         {old.URL, "", "not-sent: the TLS handshake failed"},
		"no TLS":          {strings.Replace(text.url, "http", "https", 1), "", "not-sent: the TLS handshake failed"},
		"proxy refused":   {"https://api.example", closedPort(t), "not-sent: the proxy could not be used"},
		"proxy forbids":   {"https://api.example", forbidding.URL, "not-sent: "},
		"proxy, no proxy": {"https://api.example", text.url, "not-sent: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := client(t, tc.url, &keyring{}, using(transport(t, TransportConfig{ProxyURL: tc.proxy})))
			for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
				a, err := c.Deliver(t.Context(), message(lane, event))
				e := failure(t, err)
				_, host, _ := strings.Cut(tc.url, "://")
				if e.Attempted() || e.UnknownOutcome() || e.Permanent() || e.Pauses() != "host:"+host || a.Status != 0 {
					t.Errorf("%+v", e)
				}
				if !strings.HasPrefix(e.SafeError(), tc.want) || strings.Contains(e.Error(), "Timothy") {
					t.Errorf("safe %q, whole %q", e.SafeError(), e.Error())
				}
			}
		})
	}
}
