package httpwire

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// errSpent is returned when a request was given a connection that is past its time. Nothing
// of the request was written, so that it goes out on another one.
var errSpent = errors.New("redox: the connection is past its time")

// span is the time in which a connection may be used.
type span struct {
	ends  time.Time    // of its age; zero: never
	idle  atomic.Int64 // nanoseconds for which the server keeps it without a request; 0: it did not say
	spent atomic.Bool  // it is over: nothing more is to be written
}

// begin sets the end. Connections that were opened together do not end together.
func (s *span) begin(age time.Duration) {
	if age > 0 {
		s.ends = time.Now().Add(age - age/10 + rand.N(age/5+1))
	}
}

// over reports whether the connection must not be used again, at an instant and after so long
// without a request.
func (s *span) over(now time.Time, rested time.Duration) bool {
	idle := time.Duration(s.idle.Load())
	return !s.ends.IsZero() && !now.Before(s.ends) || idle != 0 && rested >= idle
}

// take is what a request does with the connection that it was given. spent reports that the
// request is not to be written on it, and will fail.
func take(info httptrace.GotConnInfo) (c *sendConn, spent bool) {
	c = sending(info.Conn)
	if c == nil || !info.Reused {
		return c, false
	}
	now := time.Now()
	if !c.span.over(now, now.Sub(c.Counted.lastRead())) {
		return c, false
	}
	c.span.spent.Store(true)
	return c, true
}

// hear reads how long the server keeps the connection. c may be nil.
func (c *sendConn) hear(response *http.Response) {
	if c == nil {
		return
	}
	for _, value := range response.Header["Keep-Alive"] {
		if kept, ok := keptFor(value); ok {
			c.span.idle.Store(int64(kept))
			return
		}
	}
}

// leastIdle stands for no time at all, so that 0 can mean that nothing was said.
const leastIdle = 1

// maxMargin is what an idle connection is given up before the server does. The request must
// be there in time, and the server began to count before the answer was here.
const maxMargin = time.Second

// keptFor is how long a connection may be idle whose server sends the header
// Keep-Alive: timeout=N, in seconds (RFC 2068, section 19.7.1.1), less a margin.
func keptFor(value string) (time.Duration, bool) {
	for parameter := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "timeout") {
			continue
		}
		seconds, err := strconv.ParseFloat(strings.Trim(text, " \t\""), 64)
		if err != nil || !(seconds >= 0) {
			return 0, false
		}
		kept := time.Duration(min(seconds, 1e6) * float64(time.Second))
		return max(kept-min(kept/2, maxMargin), leastIdle), true
	}
	return 0, false
}
