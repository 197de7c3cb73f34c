package httpwire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// writes keeps what is written to a connection.
type writes struct {
	net.Conn
	all []byte
}

func (c *writes) Write(p []byte) (int, error) {
	c.all = append(c.all, p...)
	return len(p), nil
}

// take answers what was written since the last time.
func (c *writes) take() string {
	all := string(c.all)
	c.all = nil
	return all
}

// Whatever net/http does with the body, the head comes first and nothing is left behind.
func TestSendConn_TheHeadComesFirst(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 2*sendBuffer)
	for name, tc := range map[string]struct {
		head, body string
		send       func(c *sendConn, p *Parts) error
	}{
		"a body that is written": {"head ", "body", func(c *sendConn, p *Parts) error {
			b, _ := io.ReadAll(p)
			_, err := c.Write(b)
			return err
		}},
		"a body that is read":                     {"head ", "body", copied},
		"a body that is written from where it is": {"head ", large, copied},
		"a head that is too large":                {large, "body", copied},
		"a head that leaves no room":              {large[:sendBuffer], "body", roomy},
		"no head":                                 {"", "body", copied},
		"a reader that knows no more": {"head ", "body", func(c *sendConn, p *Parts) error {
			_, err := c.ReadFrom(struct{ io.Reader }{p})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := new(writes)
			c, p := PlainConn(seen), NewParts(&Pieces{[]byte(tc.body[:1]), nil, []byte(tc.body[1:])})
			c.bufferHead(p)
			if _, err := io.WriteString(c, tc.head); err != nil {
				t.Fatal(err)
			}
			if n := c.Counted.Written.Load(); n > 0 && len(tc.head) < sendBuffer {
				t.Errorf("%d bytes were written before the body", n)
			}
			if err := tc.send(c, p); err != nil {
				t.Fatal(err)
			}
			if got := seen.take(); got != tc.head+tc.body || c.Counted.Written.Load() != int64(len(got)) {
				t.Errorf("%d bytes of %d; %d are counted", len(got), len(tc.head+tc.body), c.Counted.Written.Load())
			}
			if _, err := io.WriteString(c, "next"); err != nil || c.buffered != nil || seen.take() != "next" {
				t.Errorf("what comes next is kept back: %v", err)
			}
		})
	}
}

// copied sends as net/http does.
func copied(c *sendConn, p *Parts) error {
	n, err := io.Copy(c, io.LimitReader(p, p.size()))
	if err == nil && (n == 0 || p.size() != 0) {
		err = errors.New("not all of it was copied")
	}
	return err
}

// roomy sends a body that fails where it is read without room for any of it.
func roomy(c *sendConn, p *Parts) error {
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
	seen := new(writes)
	c := PlainConn(seen)
	c.bufferHead(NewParts(&Pieces{[]byte("body")}))
	if _, err := io.WriteString(c, "head"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFrom(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if n := c.Counted.Written.Load(); n != 0 || seen.take() != "" {
		t.Errorf("%d bytes were written", n)
	}
}

func TestParts_ReadAsOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all Pieces
		for i := range all {
			all[i] = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "piece")
		}
		p, want := NewParts(&all), bytes.Join(all[:], nil)
		if p.size() != int64(len(want)) || all.Size() != p.size() {
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
