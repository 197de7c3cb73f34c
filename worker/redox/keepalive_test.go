package redox

import (
	"context"
	"fmt"
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

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// keeping runs f in fake time with a transport whose connections have an age, and a server
// that says for how long it keeps them; opened counts them.
func keeping(t *testing.T, said string, cfg TransportConfig, f func(t *testing.T, tr *Transport, opened *atomic.Int32)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		s := &http.Server{ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			bubble.Sleep(time.Millisecond) // others come meanwhile
			if said != "" {
				w.Header().Set("Keep-Alive", said)
			}
			if q.Method != http.MethodDelete { // an answer without a body ends with its head
				_, _ = io.WriteString(w, accepted)
			}
		})}
		served := make(chan struct{})
		go func() { _ = s.Serve(p); close(served) }()
		cfg.ProxyURL = "none"
		if cfg.MaxConnectionAge == 0 {
			cfg.MaxConnectionAge = -1
		}
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

// token asks as package auth does.
func token(t *testing.T, tr *Transport) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/v2/auth/token", strings.NewReader("grant"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := tr.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
}

// A connection is not used again that its server is about to close, by messages of any method
// and by token calls.
func TestTransport_KeepAliveOfTheServer(t *testing.T) {
	t.Parallel()
	deleted := fhir(contract.LaneRequest, "DELETE", "slug/Development/Patient/p-1", "")
	for name, send := range map[string]func(*testing.T, *Client, *Transport){
		"message": func(t *testing.T, c *Client, _ *Transport) { deliver(t, c, message(contract.LaneSend, event)) },
		"get": func(t *testing.T, c *Client, _ *Transport) {
			deliver(t, c, fhir(contract.LaneRequest, "GET", "slug/Development/Patient/p-1", ""))
		},
		"no body": func(t *testing.T, c *Client, _ *Transport) { deliver(t, c, deleted) },
		"token":   func(t *testing.T, _ *Client, tr *Transport) { token(t, tr) },
	} {
		for _, tc := range []struct {
			said  string
			pause time.Duration
			want  int32 // connections for ten requests
		}{
			{"", 40 * time.Second, 1}, {"timeout=5", 3900 * time.Millisecond, 1}, {"timeout=5", 4100 * time.Millisecond, 10},
			{"timeout=1", 400 * time.Millisecond, 1}, {"timeout=1", 600 * time.Millisecond, 10}, {"timeout=0", 0, 10},
			{"timeout=600", 40 * time.Second, 1}, {"timeout=600", 51 * time.Second, 10}, {"nonsense", 40 * time.Second, 1},
		} {
			t.Run(fmt.Sprintf("%s %q %v", name, tc.said, tc.pause), func(t *testing.T) {
				t.Parallel()
				keeping(t, tc.said, TransportConfig{}, func(t *testing.T, tr *Transport, opened *atomic.Int32) {
					c := client(t, "http://localhost", &keyring{}, using(tr))
					for range 10 {
						send(t, c, tr)
						bubble.Sleep(tc.pause + time.Nanosecond)
					}
					if n := opened.Load(); n != tc.want {
						t.Errorf("10 requests over %d connections, want %d", n, tc.want)
					}
				})
			})
		}
	}
}

func deliver(t *testing.T, c *Client, m outbox.Message) {
	t.Helper()
	if _, err := c.Deliver(t.Context(), m); err != nil {
		t.Errorf("%s: %v", m.ID, err)
	}
}

// A busy connection is given up at its greatest age, and one that is not so old stays.
func TestTransport_MaxConnectionAge(t *testing.T) {
	t.Parallel()
	keeping(t, "", TransportConfig{MaxConnectionAge: 5 * time.Minute}, func(t *testing.T, tr *Transport, opened *atomic.Int32) {
		c := client(t, "http://localhost", &keyring{}, using(tr))
		start := time.Now()
		for at := 10 * time.Second; at <= time.Hour; at += 10 * time.Second {
			deliver(t, c, message(contract.LaneSend, event))
			token(t, tr)
			if n, least := opened.Load(), int32(time.Since(start)/(5*time.Minute*11/10+10*time.Second)); n < least {
				t.Fatalf("%d connections after %v", n, time.Since(start))
			}
			bubble.Sleep(10 * time.Second)
		}
		if n := opened.Load(); n > 14 {
			t.Errorf("%d connections in an hour", n)
		}
	})
	for _, age := range []time.Duration{-1, 100 * 365 * 24 * time.Hour} {
		keeping(t, "", TransportConfig{MaxConnectionAge: age}, func(t *testing.T, tr *Transport, opened *atomic.Int32) {
			c := client(t, "http://localhost", &keyring{}, using(tr))
			for range 1000 {
				deliver(t, c, message(contract.LaneSend, event))
				bubble.Sleep(10 * time.Second)
			}
			if n := opened.Load(); n != 1 {
				t.Errorf("%d connections with a greatest age of %v", n, age)
			}
		})
	}
}

// However many connections are past their time at once, no message fails for it.
func TestTransport_ManyPastTheirTime(t *testing.T) {
	t.Parallel()
	const many = 40
	keeping(t, "", TransportConfig{MaxConnectionAge: 10 * time.Second}, func(t *testing.T, tr *Transport, opened *atomic.Int32) {
		c := client(t, "http://localhost", &keyring{}, using(tr))
		for round := range 3 {
			var all sync.WaitGroup
			for range many {
				all.Go(func() { deliver(t, c, message(contract.LaneSend, event)) })
			}
			all.Wait()
			if round == 1 { // one request meets all of them
				bubble.Sleep(20 * time.Second)
				deliver(t, c, message(contract.LaneSend, event))
			}
			bubble.Sleep(20 * time.Second)
		}
		if n := opened.Load(); n < 2*many {
			t.Errorf("%d connections", n)
		}
	})
}

// Over TLS, and through a proxy, it is the same.
func TestTransport_MaxConnectionAgeOverTLS(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"direct", "proxy"} {
		for age, want := range map[time.Duration]int32{time.Nanosecond: 5, time.Hour: 1} {
			t.Run(way+" "+age.String(), func(t *testing.T) {
				t.Parallel()
				var opened atomic.Int32
				s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
					_, _ = io.Copy(io.Discard, q.Body)
					_, _ = io.WriteString(w, accepted)
				}, func(s *httptest.Server) {
					s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
						if state == http.StateNew {
							opened.Add(1)
						}
					}
				})
				cfg := TransportConfig{RootCAs: pool, MaxConnectionAge: age}
				if way == "proxy" {
					cfg.ProxyURL = tunnel(t).url
				}
				c := client(t, s.URL, &keyring{}, using(transport(t, cfg)))
				for range 5 {
					deliver(t, c, message(contract.LaneSend, sized(100_000)))
				}
				if n := opened.Load(); n != want {
					t.Errorf("5 messages over %d connections, want %d", n, want)
				}
			})
		}
	}
}
