package redox

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// tally is a connection that keeps the pieces written to it.
type tally struct {
	net.Conn
	mu     sync.Mutex
	pieces [][]byte
}

func (c *tally) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.pieces = append(c.pieces, p)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// take answers the pieces since the last time.
func (c *tally) take() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	pieces := c.pieces
	c.pieces = nil
	return pieces
}

// tallied is a client of a server, and its only connection once it has one.
func tallied(t *testing.T, secure bool, token string) (*Client, *remote, *tally) {
	t.Helper()
	r := &remote{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		respond(200, accepted)(w, r.record(q))
	}))
	t.Cleanup(r.Close)
	seen := new(tally)
	var cfg TransportConfig
	if !secure {
		r.Start()
	} else {
		r.StartTLS()
		cfg.RootCAs = r.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	tr := dialing(t, cfg, func(ctx context.Context, network, addr string) (net.Conn, error) {
		var err error
		seen.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return seen, err
	})
	return client(t, r.URL, fixed(token), using(tr)), r, seen
}

// A request is one write, or so many as TLS makes records of it. Its body is not copied if
// it is large.
func TestSendConn_WritesOfARequest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		secure bool
		size   int
		token  int // that of Redox is a JWT
		most   int
	}{
		"plain":              {false, 1_000, 1_400, 1},
		"plain, large":       {false, 20_000, 1_400, 4}, // one, were it not for the tally: head and three pieces
		"TLS":                {true, 1_000, 1_400, 1},
		"TLS, large":         {true, 20_000, 1_400, 3}, // records of a young connection are smaller
		"a token, too large": {true, 1_000, 5_000, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := strings.Repeat("x", tc.token)
			c, r, seen := tallied(t, tc.secure, token)
			m := message(contract.LaneSend, sized(tc.size))
			for round := range 3 {
				if _, err := c.Deliver(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				pieces := seen.take()
				if round > 0 && len(pieces) > tc.most { // the first has the handshake, too
					t.Errorf("%d writes, want %d at most", len(pieces), tc.most)
				}
				if last := pieces[len(pieces)-1]; !tc.secure && tc.size > 4<<10 && &last[len(last)-1] != &m.Body[len(m.Body)-1] {
					t.Error("the body was copied")
				}
			}
			want := inserted(t, string(m.Body))
			for _, a := range r.seen() {
				if a.body != want || a.header.Get("Authorization") != "Bearer "+token {
					t.Error("another body or token arrived")
				}
			}
		})
	}
}
