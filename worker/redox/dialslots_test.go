package redox

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

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
			send := func() { all.Go(func() { deliver(t, c, message(contract.LaneSend, event)) }) }
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
	if err := tr.wire.WaitDials(t.Context()); err != nil {
		t.Error(err)
	}
}
