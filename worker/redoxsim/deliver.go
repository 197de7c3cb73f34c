package redoxsim

import (
	"net"
	"net/http"
	"strconv"
	"time"
)

// Headers of each answer, as recorded (2020) or seen live (Redox-Trace-Id, 2026).
var (
	noStore    = []string{"no-store"}
	vary       = []string{"Accept-Encoding"}
	strictHTTP = []string{"max-age=15552000; includeSubDomains"}
)

// deliver works out the answer and sends it as the fault demands. f may be nil.
func (x *exchange) deliver(f *Fault) {
	if f != nil {
		x.note(func(a *Arrival) { a.Fault = f.String() })
	}
	d, ok := time.Duration(0), true
	if x.isAPI() {
		d, ok = x.burden()
	}
	if !ok {
		x.send(overloaded())
		return
	}
	if f != nil {
		d += f.Delay
	}
	if d > 0 && !x.wait(d) {
		x.drop(false)
		return
	}
	var a answer
	if f.replaces() {
		a = x.s.replacement(x, f)
	} else {
		a = x.route.serve(x.s, x)
	}
	if f == nil {
		x.send(a)
		return
	}
	x.damage(a, f)
}

func (s *Server) replacement(x *exchange, f *Fault) answer {
	if x.msg == nil {
		x.msg = &message{}
	}
	if foreign, ok := f.answer(); ok {
		return foreign
	}
	if f.Action == Redirect || f.Status == 0 {
		return answer{}
	}
	return s.failed(x, f)
}

// damage sends an answer through a fault.
func (x *exchange) damage(a answer, f *Fault) {
	if f.Accept && (f.Status != 0 || f.words()) {
		taken := a
		a = x.s.replacement(x, f)
		a.accepted, a.logIDs = taken.accepted, taken.logIDs
	}
	if f.Action == Errors && f.Status == 0 && a.accepted && x.hasDestination() {
		a = x.s.destinationFailed(x, http.StatusOK)
	}
	if f.RetryAfter != "" {
		a.set("Retry-After", f.RetryAfter)
	}
	for name, values := range f.Header {
		a.set(name, values...)
	}
	x.taken(a)
	switch f.Action {
	case Truncate, Huge, SlowBody:
		a.gather()
	}
	switch f.Action {
	case Reset, ResetEarly:
		x.drop(true)
	case Hang:
		x.wait(-1)
		x.drop(true)
	case Redirect:
		x.redirect(f)
	case Truncate:
		x.truncate(a)
	case Huge:
		x.huge(a, f.Size)
	case SlowBody:
		x.drip(a, f.Over)
	default:
		x.send(a)
	}
}

func (a *answer) set(name string, values ...string) {
	h := a.header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h[http.CanonicalHeaderKey(name)] = values
	a.header = h
}

// taken puts what is known of the answer into the record, before anything is sent.
func (x *exchange) taken(a answer) {
	x.note(func(r *Arrival) {
		r.Accepted, r.LogIDs, r.Reason = a.accepted, a.logIDs, a.reason
	})
	if len(a.logIDs) > 0 && !x.logged {
		x.logged = true
		x.s.addLogs(x, a)
	}
	if a.accepted && !x.took {
		x.took = true
		x.accepted()
	}
}

// head writes the header of an answer whose body has the given length.
func (x *exchange) head(a answer, length int64) {
	h := x.w.Header()
	h["Cache-Control"], h["Vary"], h["Strict-Transport-Security"] = noStore, vary, strictHTTP
	h["Redox-Trace-Id"] = []string{x.trace()}
	for name, values := range a.header {
		h[name] = values
	}
	if a.contentType != "" {
		h["Content-Type"] = []string{a.contentType}
	}
	h["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	x.w.WriteHeader(a.status)
}

// send is the ordinary way. The record is closed first: whoever has read the answer finds it closed.
func (x *exchange) send(a answer) {
	x.taken(a)
	x.close(a.status)
	x.head(a, a.length())
	a.writeTo(x.w)
}

func (x *exchange) truncate(a answer) {
	x.close(a.status)
	x.head(a, int64(len(a.body)))
	_, _ = x.w.Write(a.body[:len(a.body)/2])
	x.flush()
	x.drop(false)
}

func (x *exchange) huge(a answer, size int64) {
	if size == 0 {
		size = 64_000_000
	}
	size = max(size, int64(len(a.body)))
	x.close(a.status)
	x.head(a, size)
	_, _ = x.w.Write(a.body)
	var pad [8192]byte
	for i := range pad {
		pad[i] = ' '
	}
	for left := size - int64(len(a.body)); left > 0; {
		n, err := x.w.Write(pad[:min(left, int64(len(pad)))])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

func (x *exchange) drip(a answer, over time.Duration) {
	if over == 0 {
		over = 10 * time.Second
	}
	const pieces = 10
	x.head(a, int64(len(a.body)))
	for i := range pieces {
		if !x.wait(over / pieces) {
			x.drop(false)
			return
		}
		if i == pieces-1 {
			x.close(a.status)
		}
		_, _ = x.w.Write(a.body[len(a.body)*i/pieces : len(a.body)*(i+1)/pieces])
		x.flush()
	}
}

func (x *exchange) redirect(f *Fault) {
	a := answer{status: f.Status}
	if a.status == 0 {
		a.status = http.StatusTemporaryRedirect
	}
	location := f.Location
	if location == "" {
		location = x.r.URL.Path
	}
	a.set("Location", location)
	x.close(a.status)
	x.head(a, 0)
}

func (x *exchange) flush() { _ = http.NewResponseController(x.w).Flush() }

// drop ends the connection without a proper answer; hard asks for a TCP RST. Where the connection cannot be taken over
// (HTTP/2, a recorder) the handler is aborted in net/http's way.
func (x *exchange) drop(hard bool) {
	x.close(0)
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	raw := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn()
	}
	if t, ok := raw.(*net.TCPConn); ok && hard {
		_ = t.SetLinger(0)
		_ = t.Close()
		return
	}
	_ = conn.Close()
}

// wait blocks for d, or until the client is gone or [Server.Release]; d < 0 has no end of its own. false means that
// the client is gone.
func (x *exchange) wait(d time.Duration) bool {
	var timer <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
		return true
	case <-x.s.release():
		return true
	case <-x.r.Context().Done():
		return false
	}
}
