package httpwire

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

const (
	// http2First and HTTP2Dials are how many connections are being opened for HTTP/2 at one
	// time, at first and later: all requests that wait would open one of their own.
	http2First, HTTP2Dials = 2, 16
	// http2Again is how long a host without HTTP/2 is not asked for it.
	http2Again = 10 * time.Minute
)

// http2Side are the connections over which HTTP/2 may be spoken, and what is known of the
// hosts. A host without HTTP/2 is left to the connections of HTTP/1.1, which need not be few.
//
// net/http does not let a request refuse the connection of HTTP/2 that it is given. So all
// connections grow old together: the requests that come later go to a new transport.
type http2Side struct {
	open func() *http.Transport // a transport without connections
	age  time.Duration          // how long one is used; no limit if not above 0

	mu      sync.Mutex
	current *http.Transport
	ends    time.Time       // of current; zero: never
	last    *http.Transport // the one before: requests may be under way on it
	hosts   map[string]*spoken
}

// spoken is the protocol of a host.
type spoken struct {
	protocol protocol
	again    time.Time     // when a host of HTTP/1.1 is asked for HTTP/2 again
	asked    chan struct{} // closed when the request that went ahead has a connection, or has failed; nil: none went
}

type protocol uint8

const (
	unknownProtocol protocol = iota
	protocol1
	protocol2
)

// way is how one request goes. The zero value goes over HTTP/1.1.
type way struct {
	side  *http2Side // nil: HTTP/1.1
	host  string
	ahead chan struct{} // of a host of which nothing is known: others wait
}

// choose picks the transport of a request to a host over TLS. The first request to a host goes
// ahead, and the others wait until it has a connection: they share it, or open as many of
// HTTP/1.1 as they need.
func (s *http2Side) choose(ctx context.Context, host string, w *way) (*http.Transport, error) {
	for {
		s.mu.Lock()
		h, now := s.hosts[host], time.Now()
		if h == nil {
			h = new(spoken)
			s.hosts[host] = h
		}
		var wait chan struct{}
		switch {
		case h.protocol == protocol1 && now.Before(h.again):
			s.mu.Unlock()
			return nil, nil
		case h.protocol == protocol1:
			h.again = now.Add(http2Again) // this one asks, and nobody waits for it
		case h.protocol == unknownProtocol && h.asked == nil:
			h.asked = make(chan struct{})
			w.ahead = h.asked
		case h.protocol == unknownProtocol:
			wait = h.asked
		}
		t := s.transport(now)
		s.mu.Unlock()
		if wait == nil {
			w.side, w.host = s, host
			return t, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if s.failed(host, wait) {
			w.side, w.host = s, host
			return t, nil
		}
	}
}

// failed reports whether the one that went ahead has got no connection. Those who have waited
// for it do not wait for one another then.
func (s *http2Side) failed(host string, asked chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[host]
	return h.protocol == unknownProtocol && (h.asked == nil || h.asked != asked)
}

// transport is the one of requests that begin now. The mutex is held.
func (s *http2Side) transport(now time.Time) *http.Transport {
	if s.current != nil && (s.ends.IsZero() || now.Before(s.ends)) {
		return s.current
	}
	s.retire()
	s.current = s.open()
	if s.age > 0 {
		s.ends = now.Add(s.age - s.age/10 + rand.N(s.age/5+1))
	}
	return s.current
}

// retire leaves the connections to the requests that are on them. One closes when it has been
// idle for as long as it may. The mutex is held.
func (s *http2Side) retire() {
	if s.current == nil {
		return
	}
	s.closeIdle()
	s.last, s.current = s.current, nil
}

// closeIdle closes the connections that no request uses. The mutex is held.
func (s *http2Side) closeIdle() {
	for _, t := range []*http.Transport{s.current, s.last} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
}

// renew closes the connections that no request uses, and has the others not be used again.
func (s *http2Side) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire()
}

// heard learns from the connection that a request was given what its host speaks.
func (w *way) heard(info httptrace.GotConnInfo) {
	if w.side == nil {
		return
	}
	spoke := protocol1
	if c, ok := info.Conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
		spoke = protocol2
	}
	w.speaks(spoke)
}

// refused learns from the error of a request whether the host wants HTTP/1.1.
func (w *way) refused(err error) {
	if w.side != nil && err != nil && strings.Contains(err.Error(), "HTTP_1_1_REQUIRED") {
		w.speaks(protocol1)
	}
}

func (w *way) speaks(p protocol) {
	s := w.side
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[w.host]
	if h.protocol != p {
		h.protocol, h.again = p, time.Now().Add(http2Again)
	}
	w.arrive(h)
}

// end is called when the request has an answer, or has failed.
func (w *way) end() {
	if w.ahead == nil {
		return
	}
	w.side.mu.Lock()
	defer w.side.mu.Unlock()
	w.arrive(w.side.hosts[w.host])
}

// arrive lets those go on that wait for the request. The mutex is held.
func (w *way) arrive(h *spoken) {
	if w.ahead == nil {
		return
	}
	close(w.ahead)
	if h.asked == w.ahead {
		h.asked = nil
	}
	w.ahead = nil
}

// unread reports whether the error of a request over HTTP/2 says that the other side has not
// looked at it: its stream was refused, or is above the last one that a GOAWAY names
// (RFC 9113, section 8.7). net/http sends such a request again by itself if it can rewind the
// body, which it cannot, and says no more than a text.
func unread(err error) bool {
	text := err.Error()
	if strings.HasPrefix(text, "http2: Transport received GOAWAY from server ErrCode:") { // for the first stream
		return true
	}
	why, ok := strings.CutPrefix(text, "http2: Transport: cannot retry err [")
	return ok && (strings.HasPrefix(why, "http2: Transport received Server's graceful shutdown GOAWAY]") ||
		strings.HasPrefix(why, "stream error: ") && strings.Contains(why, "; REFUSED_STREAM"))
}

// Unread reports whether the other side says that it has not looked at the request. err is that
// of RoundTrip, which has ended.
func (w *Watch) Unread(err error) bool { return w.Got && w.h2 && !w.earlier && unread(err) }
