package sqltest

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// largeAndFar: a body whose parts take long on the way to a server that is far away goes beside its
// lane; rows of others go on meanwhile.
func (s Server) largeAndFar(t *testing.T) {
	r := s.New(t, sqloutbox.Config{}).Provision()
	js, err := connect(r.farAway(35 * time.Millisecond))
	r.Must(err)
	defer js.Conn().Close()
	r.Commit(outbox.Message{ID: "large", Source: "clinic-a", Body: bytes.Repeat([]byte("1"), 10<<20)})
	relay, _ := r.RelayOn(js, sqloutbox.RelayConfig{})
	r.Until("it does not hold up its lane", func() bool { return relay.Stats().Waiting["clinic-a"] != "" })
	for n := range 5 {
		r.Commit(outbox.Message{Source: "clinic-b", Body: []byte("{}")})
		r.Until("a row beside it", func() bool { return r.Count("redox_outbox WHERE source = 'clinic-b'") == 0 })
		if n == 0 && r.Count("redox_outbox") != 1 {
			t.Error("the large one was not slow: the test shows nothing")
		}
	}
	r.Empty()
}

// farAway is the address of a server whose answers come later.
func (r *Rig) farAway(delay time.Duration) (url string) {
	r.Helper()
	l, err := new(net.ListenConfig).Listen(r.Context(), "tcp", "127.0.0.1:0")
	r.Must(err)
	r.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.NATS.URL()[len("nats://"):])
			if err != nil {
				_ = near.Close()
				return
			}
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go later(near, far, delay)
		}
	}()
	return "nats://" + l.Addr().String()
}

// later copies what comes, each piece after a time of its own.
func later(to io.WriteCloser, from io.Reader, delay time.Duration) {
	type piece struct {
		at   time.Time
		data []byte
	}
	pieces := make(chan piece, 1<<16)
	go func() {
		defer func() { _ = to.Close() }()
		for p := range pieces {
			<-time.After(time.Until(p.at))
			if _, err := to.Write(p.data); err != nil {
				return
			}
		}
	}()
	defer close(pieces)
	for buffer := make([]byte, 1<<16); ; {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		pieces <- piece{time.Now().Add(delay), bytes.Clone(buffer[:n])}
	}
}
