package redox

import (
	"io"
	"net/http/httptrace"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
)

func TestBuffers_Classes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{0: 1 << 10, 1: 1 << 10, 1 << 10: 1 << 10, 1<<10 + 1: 2 << 10, 20_000: 32 << 10, 64 << 10: 64 << 10, 64<<10 + 1: 64<<10 + 1} {
		var p buffers
		if b := p.take(n); cap(*b) != want || len(*b) != 0 {
			t.Errorf("for %d bytes: %d of %d, want %d", n, len(*b), cap(*b), want)
		}
	}
	var p buffers
	large := make([]byte, 0, 1<<20)
	p.give(&large) // is not kept, nor put where there is no place
}

// What net/http tells of a request that it gives to one connection after another.
func TestWatch_FinishedWhenEachWritingHasEnded(t *testing.T) {
	t.Parallel()
	var w watch
	w.attach(t.Context())
	ours := httptrace.GotConnInfo{Conn: &countedConn{}}
	steps := []struct {
		what string
		do   func()
		want bool
	}{
		{"nothing", func() {}, false},
		{"a connection", func() { w.trace.GotConn(ours) }, false},
		{"its end", func() { w.trace.WroteRequest(httptrace.WroteRequestInfo{Err: io.EOF}) }, true},
		{"another connection", func() { w.trace.GotConn(ours) }, false},
		{"its end, too", func() { w.trace.WroteRequest(httptrace.WroteRequestInfo{}) }, true},
		{"somebody else's connection", func() {
			w.trace.GotConn(httptrace.GotConnInfo{})
			w.trace.WroteRequest(httptrace.WroteRequestInfo{})
		}, false},
	}
	for _, s := range steps {
		if s.do(); w.finished() != s.want {
			t.Errorf("after %s: finished is %t", s.what, !s.want)
		}
	}
}

func TestDeliver_BufferIsUsedAgain(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, fixed("token"), using(transport(t, TransportConfig{})))
	again := false
	for range 100 { // the race detector makes pools forget at random; the hook may come late
		if _, err := c.Deliver(t.Context(), message(outbox.LaneSend, sized(30_000))); err != nil {
			t.Fatal(err)
		}
		again = again || c.buffers[bufferClass(30_000)].Get() != nil
	}
	if !again {
		t.Error("no buffer was ever used again")
	}
}
