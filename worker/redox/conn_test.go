package redox

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/outbox"
)

// tally is a connection that keeps the pieces written to it.
type tally struct {
	net.Conn // nil: only the pieces are kept
	mu       sync.Mutex
	pieces   [][]byte
}

func (c *tally) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.pieces = append(c.pieces, p)
	c.mu.Unlock()
	if c.Conn == nil {
		return len(p), nil
	}
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
	tr := transport(t, TransportConfig{})
	open := func(ctx context.Context, network, addr string) (*tally, error) {
		var err error
		seen.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return seen, err
	}
	if !secure {
		r.Start()
		tr.http.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := open(ctx, network, addr)
			return plainConn(c), err
		}
	} else {
		r.StartTLS()
		d := &dialer{tls: &tls.Config{RootCAs: r.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
		tr.http.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := open(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return d.handshake(ctx, newCountedConn(c), addr)
		}
	}
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
			m := message(outbox.LaneSend, sized(tc.size))
			for round := range 3 {
				if _, err := c.Deliver(t.Context(), m); err != nil {
					t.Fatal(err)
				}
				pieces := seen.take()
				if round > 0 && len(pieces) > tc.most { // the first has the handshake, too
					t.Errorf("%d writes, want %d at most", len(pieces), tc.most)
				}
				if last := pieces[len(pieces)-1]; !tc.secure && tc.size > leastDirect && &last[len(last)-1] != &m.Body[len(m.Body)-1] {
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

// Whatever net/http does with the body, the head comes first and nothing is left behind.
func TestSendConn_TheHeadComesFirst(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2*sendBuffer)
	for name, tc := range map[string]struct {
		head, body string
		send       func(c *sendConn, p *parts) error
	}{
		"a body that is written": {"head ", "body", func(c *sendConn, p *parts) error {
			b, _ := io.ReadAll(p)
			_, err := c.Write(b)
			return err
		}},
		"a body that is read":                     {"head ", "body", copied},
		"a body that is written from where it is": {"head ", large, copied},
		"a head that is too large":                {large, "body", copied},
		"a head that leaves no room":              {large[:sendBuffer], "body", roomy},
		"no head":                                 {"", "body", copied},
		"a reader that knows no more": {"head ", "body", func(c *sendConn, p *parts) error {
			_, err := c.ReadFrom(struct{ io.Reader }{p})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := new(tally)
			c, p := plainConn(seen), newParts(&pieces{[]byte(tc.body[:1]), nil, []byte(tc.body[1:])})
			c.hold(p)
			if _, err := io.WriteString(c, tc.head); err != nil {
				t.Fatal(err)
			}
			if n := c.counted.written.Load(); n > 0 && len(tc.head) < sendBuffer {
				t.Errorf("%d bytes were written before the body", n)
			}
			if err := tc.send(c, p); err != nil {
				t.Fatal(err)
			}
			if got := string(bytes.Join(seen.take(), nil)); got != tc.head+tc.body || c.counted.written.Load() != int64(len(got)) {
				t.Errorf("%d bytes of %d; %d are counted", len(got), len(tc.head+tc.body), c.counted.written.Load())
			}
			if _, err := io.WriteString(c, "next"); err != nil || c.held != nil || string(bytes.Join(seen.take(), nil)) != "next" {
				t.Errorf("what comes next is kept back: %v", err)
			}
		})
	}
}

// copied sends as net/http does.
func copied(c *sendConn, p *parts) error {
	n, err := io.Copy(c, io.LimitReader(p, p.size()))
	if err == nil && (n == 0 || p.size() != 0) {
		err = errors.New("not all of it was copied")
	}
	return err
}

// roomy sends a body that fails where it is read without room for any of it.
func roomy(c *sendConn, p *parts) error {
	_, err := c.ReadFrom(needsRoom{p})
	return err
}

type needsRoom struct{ io.Reader }

func (r needsRoom) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, io.ErrShortBuffer // a Read that returns nothing is repeated for ever
	}
	return r.Reader.Read(b)
}

func TestSendConn_NothingOfAHeadWhoseBodyFails(t *testing.T) {
	t.Parallel()
	seen := new(tally)
	c := plainConn(seen)
	c.hold(newParts(&pieces{[]byte("body")}))
	if _, err := io.WriteString(c, "head"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFrom(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if n := c.counted.written.Load(); n != 0 || len(seen.take()) != 0 {
		t.Errorf("%d bytes were written", n)
	}
}

func TestParts_ReadAsOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all pieces
		for i := range all {
			all[i] = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "piece")
		}
		p, want := newParts(&all), bytes.Join(all[:], nil)
		if p.size() != int64(len(want)) || all.size() != p.size() {
			t.Fatalf("size %d of %d", p.size(), len(want))
		}
		var got []byte
		for {
			b := make([]byte, rapid.IntRange(1, 30).Draw(t, "room"))
			n, err := p.Read(b)
			if got = append(got, b[:n]...); errors.Is(err, io.EOF) {
				break
			}
			if n != min(len(b), len(want)-len(got)+n) {
				t.Fatalf("%d bytes for a room of %d", n, len(b))
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
