package redox

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// A thousand connections with handshakes of 100 ms are open after a second, and never are more
// than an eighth of them being opened.
func TestDialSlots_ColdStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		callers     int
		least, most time.Duration
		once        int32
	}{
		{64, 300 * time.Millisecond, 400 * time.Millisecond, 16}, {1000, 500 * time.Millisecond, 1200 * time.Millisecond, 125},
		{10_000, time.Second, 1500 * time.Millisecond, 1250},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newDialSlots(16, tc.callers/8, 16)
			var now, once, early atomic.Int32
			start := time.Now()
			var all sync.WaitGroup
			for range tc.callers {
				all.Go(func() {
					if err := s.acquire(t.Context()); err != nil {
						t.Error(err)
					}
					if n := now.Add(1); n > once.Load() {
						once.Store(n)
					}
					if time.Since(start) < 100*time.Millisecond {
						early.Add(1)
					}
					time.Sleep(100 * time.Millisecond)
					now.Add(-1)
					s.release(dialOpened)
				})
			}
			all.Wait()
			if took := time.Since(start); took < tc.least || took > tc.most || once.Load() > tc.once || early.Load() != 16 {
				t.Errorf("%d connections in %v, %d at once, %d at first", tc.callers, took, once.Load(), early.Load())
			}
			if s.size != 16 || s.busy != 0 || len(s.queue) != 0 {
				t.Errorf("afterwards %d slots, %d in use, %d waiting", s.size, s.busy, len(s.queue))
			}
		})
	}
}

// Where connections cannot be opened there are no more at one time than at first.
func TestDialSlots_Failures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newDialSlots(4, 100, 4)
		var now, once atomic.Int32
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(i))
				defer cancel()
				if s.acquire(ctx) != nil {
					return
				}
				if n := now.Add(1); n > once.Load() {
					once.Store(n)
				}
				time.Sleep(10 * time.Second)
				now.Add(-1)
				s.release([]dialEnd{dialFailed, dialUnneeded}[i%2])
			})
		}
		all.Wait()
		if n := once.Load(); n != 4 {
			t.Errorf("%d at once", n)
		}
		if s.busy != 0 || len(s.queue) != 0 {
			t.Errorf("%d in use, %d waiting", s.busy, len(s.queue))
		}
	})
}

// A request that was served by a connection that became free has none opened.
func TestTransport_NoSurplusConnections(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"direct", "proxy"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			hands, shake := make(chan struct{}, 10), make(chan struct{}, 10)
			arrived, answer := make(chan struct{}, 10), make(chan struct{})
			s, pool := secureServer(t, func(w http.ResponseWriter, q *http.Request) {
				_, _ = io.Copy(io.Discard, q.Body)
				arrived <- struct{}{}
				<-answer
				_, _ = io.WriteString(w, accepted)
			}, func(s *httptest.Server) {
				s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
					hands <- struct{}{}
					<-shake
					return nil, nil
				}}
			})
			cfg := TransportConfig{RootCAs: pool, MaxDials: 1, Concurrency: 8}
			if way == "proxy" {
				cfg.ProxyURL = tunnel(t).url
			}
			tr := transport(t, cfg)
			c := client(t, s.URL, &keyring{}, using(tr))
			var all sync.WaitGroup
			send := func() { all.Go(func() { deliver(t, c, message(outbox.LaneSend, event)) }) }
			send()
			<-hands
			shake <- struct{}{} // the first has its connection
			<-arrived
			const others = 5
			for range others {
				send()
			}
			if way == "direct" {
				<-hands // one of the others opens a connection, and the rest wait for that
				for range 1 + others {
					answer <- struct{}{} // over the first connection, one after the other
				}
				all.Wait()
				close(shake)
				waitForDials(t, tr)
				if n := len(hands); n != 0 {
					t.Errorf("%d connections more", n)
				}
				return
			}
			close(shake)
			close(answer)
			all.Wait()
			waitForDials(t, tr)
			if n := len(hands); n > others {
				t.Errorf("%d connections for %d requests", 1+n, 1+others)
			}
		})
	}
}

// waitForDials waits until no connection is being opened.
func waitForDials(t *testing.T, tr *Transport) {
	t.Helper()
	d := tr.dialer
	d.mu.Lock()
	list := make([]*dialSlots, 0, len(d.slots))
	for _, s := range d.slots {
		list = append(list, s)
	}
	d.mu.Unlock()
	for _, s := range list {
		for range 2 { // the second time those are through that waited
			if err := s.acquire(t.Context()); err != nil {
				t.Error(err)
			}
			s.release(dialUnneeded)
		}
	}
}

func TestNeeded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	n := &need{Context: ctx}
	for _, tc := range []struct {
		what string
		do   func()
		want bool
	}{
		{"it waits", func() {}, true}, {"it has one", func() { n.met.Store(true) }, false},
		{"it waits again", func() { n.met.Store(false) }, true}, {"it has ended", cancel, false},
	} {
		tc.do()
		if got := needed(context.WithoutCancel(n)); got != tc.want {
			t.Errorf("%s: %v", tc.what, got)
		}
	}
	if !needed(t.Context()) {
		t.Error("a connection that nothing is known of is not needed")
	}
	d := &dialer{first: 1}
	if _, err := d.dial(context.WithoutCancel(n), "tcp", "127.0.0.1:1"); !errors.Is(err, errUnneeded) {
		t.Error(err)
	}
}
