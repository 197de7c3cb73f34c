package httpwire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// errCancelled is why a test cancels a request.
var errCancelled = errors.New("cancelled")

// A host that cannot be reached keeps nobody: who has waited for the first fails with it.
func TestHTTP2_FirstThatFails(t *testing.T) {
	t.Parallel()
	s := &http2Side{open: func() *http.Transport { return new(http.Transport) }, hosts: make(map[string]*spoken)}
	var first way
	if over, err := s.choose(t.Context(), "host", &first); over == nil || err != nil || first.ahead == nil {
		t.Fatal(over, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCancelled)
	if _, err := s.choose(ctx, "host", new(way)); !errors.Is(err, errCancelled) {
		t.Errorf("one that was cancelled: %v", err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			var w way
			if over, err := s.choose(t.Context(), "host", &w); over == nil || err != nil {
				t.Error(over, err)
			}
			w.end()
		})
	}
	first.end()
	all.Wait()
}

// A host may begin to offer HTTP/2, and cease to.
func TestHTTP2_HostThatChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &http2Side{open: func() *http.Transport { return new(http.Transport) }, hosts: make(map[string]*spoken)}
		over := func() (bool, *way) {
			w := new(way)
			got, err := s.choose(t.Context(), "host", w)
			if err != nil {
				t.Fatal(err)
			}
			return got != nil, w
		}
		_, w := over()
		w.speaks(protocol1)
		if got, _ := over(); got {
			t.Error("HTTP/2 to a host without it")
		}
		bubble.Sleep(http2Again)
		got, w := over()
		if again, _ := over(); !got || again {
			t.Errorf("after a while: first asked %v, the next too %v", got, again)
		}
		w.speaks(protocol2)
		if got, w = over(); !got {
			t.Error("not HTTP/2 to a host that has it now")
		}
		w.speaks(protocol1)
		if got, _ = over(); got {
			t.Error("HTTP/2 to a host that has it no more")
		}
	})
}

// A host that wants HTTP/1.1 gets it from then on.
func TestHTTP2_HostThatWantsHTTP1(t *testing.T) {
	t.Parallel()
	s := &http2Side{open: func() *http.Transport { return new(http.Transport) }, hosts: make(map[string]*spoken)}
	var w way
	if over, err := s.choose(t.Context(), "host", &w); over == nil || err != nil {
		t.Fatal(over, err)
	}
	w.refused(http2.StreamError{StreamID: 1, Code: http2.ErrCodeHTTP11Required})
	if over, err := s.choose(t.Context(), "host", new(way)); over != nil || err != nil {
		t.Error(over, err)
	}
	w.refused(net.ErrClosed) // says nothing
	if over, _ := s.choose(t.Context(), "host", new(way)); over != nil {
		t.Error("HTTP/2 again")
	}
}
