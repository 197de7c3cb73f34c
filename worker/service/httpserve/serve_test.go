package httpserve

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// slowClients are what clients do that take a connection and give nothing for it.
var slowClients = map[string]string{
	"no request":      "",
	"half a line":     "GET /live",
	"slow headers":    "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ",
	"slow body":       "GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx",
	"slow chunks":     "POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	"never reads":     strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 50),
	"idle keep-alive": "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
	"waits for 100":   "PUT /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
	"large headers":   "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 6<<10),
}

// counting is a listener that knows how many of its connections are open.
type counting struct {
	net.Listener
	open, most atomic.Int64
}

func (l *counting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if n := l.open.Add(1); n > l.most.Load() { // Accept has one caller
		l.most.Store(n)
	}
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error { c.closed(); return c.Conn.Close() }

// probed is a handler as the daemon's: a probe, and an answer larger than what a connection
// takes in at once.
func probed() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "live") })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	return mux
}

// However many clients hang, and in whatever way, a probe gets its answer, and no more than
// so many connections are open.
func TestServe_AProbeIsAnsweredWhileOthersHang(t *testing.T) {
	t.Parallel()
	for name, text := range slowClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most, crowdOf = 20, 70
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := &counting{Listener: tcp}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- serveCrowd(ctx, l, probed(), slog.New(slog.DiscardHandler), newCrowd(most)) }()
			for range crowdOf {
				conn, err := net.Dial("tcp", tcp.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, text)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			for range 3 {
				response, err := client.Get("http://" + tcp.Addr().String() + "/livez")
				if err != nil {
					t.Fatalf("the probe: %v", err)
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK || string(body) != "live" || err != nil {
					t.Errorf("the probe: %d %q %v", response.StatusCode, body, err)
				}
			}
			if n := l.most.Load(); n > most+1 {
				t.Errorf("%d connections were open at once", n)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A connection that brings nothing, or takes nothing, is closed after a while.
func TestServe_AClientThatHangsIsLetGo(t *testing.T) {
	t.Parallel()
	for name, text := range slowClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := &counting{Listener: newPipes()}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- serveCrowd(ctx, l, probed(), slog.New(slog.DiscardHandler), newCrowd(maxClients)) }()
				conn := l.Listener.(*pipes).dial()
				go func() { _, _ = io.WriteString(conn, text) }()
				if name == "idle keep-alive" {
					if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
						t.Error(err)
					}
				}
				bubble.Sleep(answerTimeout + idleTimeout)
				if n := l.open.Load(); n != 0 {
					t.Errorf("after %v it is still there", answerTimeout+idleTimeout)
				}
				_ = conn.Close()
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A connection that is let go to make room is the least of a loss: one that waits before one
// that is answered, and the oldest of those.
func TestCrowd_TheOldestThatWaitsGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(4)
		gone := map[string]bool{}
		add := func(name string, states ...http.ConnState) {
			bubble.Sleep(time.Second)
			conn := &countedConn{Conn: &net.TCPConn{}, closed: func() { gone[name] = true }}
			for _, s := range states {
				c.follow(conn, s)
			}
		}
		add("answered", http.StateNew, http.StateActive)
		add("idle", http.StateNew, http.StateActive, http.StateIdle)
		add("new", http.StateNew)
		add("left", http.StateNew, http.StateClosed)
		add("answered later", http.StateNew, http.StateActive)
		for i, want := range []string{"idle", "new", "answered", "answered later"} {
			if len(gone) != i {
				t.Errorf("%d are gone: %v", len(gone), gone)
			}
			add("next", http.StateNew, http.StateActive)
			if !gone[want] {
				t.Errorf("%s is there still: %v", want, gone)
			}
		}
	})
}

// pipes is a listener in memory, whose time limits are in fake time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.close(); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
