package redoxsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// exchange is one request on its way through the simulator. It belongs to the goroutine that serves it.
type exchange struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	seq  uint64
	rec  *record // nil without a record
	key  *keyState
	name string // message key
	path string // names what has no body, or one that says too little
	buf  *bytes.Buffer

	route  *route // nil for a path that Redox does not have
	client string
	body   []byte

	msg       *message
	complaint *complaint
	fhir      *fhirTarget
	upload    *upload
	query     bool
	source    string // in effect
	state     TokenState
	token     *token
	attempt   int

	wanting time.Duration // until the quota would let a request through
	over    bool          // refused by the quota
	loading bool          // counted as load

	took   bool // counted as accepted
	logged bool // its logs are open
	ended  bool
}

// buffers holds what bodies are read into. Those that grew beyond keepBuffer are left to the collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keepBuffer = 1 << 20

// serve is the one way of a request: early faults, quota, body, fault, answer.
func (x *exchange) serve() {
	s := x.s
	if q := x.request(); s.faults.find(&q, s.now(), true) != nil {
		x.note(func(a *Arrival) { a.Fault = string(ResetEarly) })
		x.drop(true)
		return
	}
	if x.over {
		x.discard()
		x.send(x.overQuota())
		return
	}
	if !isURI(x.r.URL.EscapedPath() + x.r.URL.RawQuery) {
		a := textAnswer(http.StatusBadRequest, "Bad Request")
		a.reason = "the path or the query has a character that no URI has: percent-encode it"
		x.send(a)
		return
	}
	x.route = routeOf(x.r.URL.Path)
	if x.route == nil || !slices.Contains(x.route.methods, x.r.Method) {
		a := textAnswer(http.StatusNotFound, "Not Found")
		a.reason = "no such path, or not with this method"
		x.send(a)
		return
	}
	if err := x.route.read(x); err != nil {
		if errors.Is(err, errTooLarge) {
			a := textAnswer(http.StatusRequestEntityTooLarge, "Payload Too Large")
			a.reason = err.Error()
			x.send(a)
			return
		}
		x.note(func(a *Arrival) { a.Reason = "the request broke off" })
		x.drop(false)
		return
	}
	script := ""
	if x.route.identify != nil {
		x.route.identify(x)
		script = x.msg.script
	}
	q := x.request()
	fault, err := s.faultOf(&q, script)
	if err != nil {
		x.send(s.complain(x, malformed(err.Error())))
		return
	}
	x.deliver(fault)
}

// isURI says that a path and a query have only characters that RFC 3986 allows there. What Redox does with others is not
// known; Tomcat, which many FHIR servers run on, refuses them.
func isURI(target string) bool {
	return !strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("\"<>[\\]^`{|}", c) })
}

// discard reads the body and throws it away, so that the client gets to see an answer that does not depend on it.
func (x *exchange) discard() {
	n, _ := io.Copy(io.Discard, io.LimitReader(x.r.Body, 8*max(x.s.maxBody(), x.s.maxUpload(), 0)+1<<20))
	x.note(func(a *Arrival) { a.BodySize = n })
}

var errTooLarge = errors.New("the body is over the limit")

// readBody takes the body in, up to the limit; what is beyond is thrown away so that the client gets to see the 413.
func (x *exchange) readBody() error {
	x.buf = buffers.Get().(*bytes.Buffer)
	x.buf.Reset()
	limit := x.s.maxBody()
	src := io.Reader(x.r.Body)
	if limit >= 0 {
		src = io.LimitReader(src, limit+1)
	}
	n, err := x.buf.ReadFrom(src)
	x.body = x.buf.Bytes()
	if err == nil && limit >= 0 && n > limit {
		rest, _ := io.Copy(io.Discard, io.LimitReader(x.r.Body, 8*limit+1<<20))
		n += rest
		err = fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	x.note(func(a *Arrival) { a.BodySize = n })
	return err
}

// identifyMessage reads a message of the Data Model API and its token, and counts the attempt.
func (x *exchange) identifyMessage() {
	x.msg, x.complaint = parseMessage(x.body)
	isQuery := x.s.IsQuery
	if isQuery == nil {
		isQuery = IsQuery
	}
	x.query = x.msg.eventType != "" && isQuery(x.msg.dataModel, x.msg.eventType)
	x.bearer(orgKey, legacyKey)
	x.findSource()
	x.count()
}

// bearer judges the token of the request. One that is good for another API only is misused.
func (x *exchange) bearer(kinds ...keyKind) {
	x.state, x.token = x.s.tokens.check(x.r.Header, x.s.now())
	if x.state == TokenValid && !slices.Contains(kinds, x.token.kind) {
		x.state = TokenMisused
	}
}

// findSource decides which source is in effect.
func (x *exchange) findSource() {
	x.source = x.msg.sourceID
	if x.source == "" {
		x.source = x.r.Header.Get("Redox-Source-Id")
	}
	if x.source == "" && x.token != nil {
		x.source = x.s.dir.sourceOf(x.token).ID
	}
}

// request is the view of the exchange that hooks and rules get.
func (x *exchange) request() Request {
	q := Request{
		Seq: x.seq, Method: x.r.Method, Path: x.r.URL.Path, Client: x.client, SourceID: x.source, Query: x.query,
		Key: x.name, Attempt: x.attempt, TokenValid: x.state == TokenValid, Header: x.r.Header, Body: x.body,
	}
	if x.msg != nil {
		q.DataModel, q.EventType = x.msg.dataModel, x.msg.eventType
	}
	return q
}
