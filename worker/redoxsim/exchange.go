package redoxsim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	buf  *bytes.Buffer

	client string
	body   []byte

	msg       *message
	complaint *complaint
	query     bool
	source    string // in effect
	state     TokenState
	token     *token
	attempt   int

	wanting time.Duration // until the quota would let a request through
	over    bool          // refused by the quota
	loading bool          // counted as load

	took  bool // counted as accepted
	ended bool
}

// buffers holds what bodies are read into. Those that grew beyond keepBuffer are left to the collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keepBuffer = 1 << 20

// route finds the handler of a path; nil for a path that Redox does not have.
func (s *Server) route(path string) func(*exchange) answer {
	switch path {
	case PathEndpoint, PathQuery:
		return s.serveMessage
	case PathToken:
		return s.serveToken
	case PathAuthenticate:
		return s.serveAuthenticate
	case PathRefresh:
		return s.serveRefresh
	}
	return nil
}

func (x *exchange) isMessage() bool { return x.r.URL.Path == PathEndpoint || x.r.URL.Path == PathQuery }

// serve is the one way of a request: early faults, quota, body, fault, answer.
func (x *exchange) serve() {
	s := x.s
	if q := x.request(); s.faults.find(&q, s.now(), true) != nil {
		x.note(func(a *Arrival) { a.Fault = string(ResetEarly) })
		x.drop(true)
		return
	}
	if x.over {
		x.send(x.overQuota())
		return
	}
	handler := s.route(x.r.URL.Path)
	if handler == nil || x.r.Method != http.MethodPost {
		a := textAnswer(http.StatusNotFound, "Not Found")
		a.reason = "no such path, or not POST"
		x.send(a)
		return
	}
	if err := x.read(); err != nil {
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
	if x.isMessage() {
		x.identify()
		script = x.msg.script
	}
	q := x.request()
	fault, err := s.faultOf(&q, script)
	if err != nil {
		x.send(s.complain(x, malformed(err.Error())))
		return
	}
	x.deliver(handler, fault)
}

var errTooLarge = errors.New("the body is over the limit")

// read takes the body in, up to the limit; what is beyond is thrown away so that the client gets to see the 413.
func (x *exchange) read() error {
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

// identify reads the message and its token, and counts the attempt.
func (x *exchange) identify() {
	s := x.s
	x.msg, x.complaint = parseMessage(x.body)
	isQuery := s.IsQuery
	if isQuery == nil {
		isQuery = IsQuery
	}
	x.query = x.msg.eventType != "" && isQuery(x.msg.dataModel, x.msg.eventType)
	x.state, x.token = s.tokens.check(x.r.Header, s.now())
	header := x.r.Header.Get("Redox-Source-Id")
	x.source = x.msg.sourceID
	if x.source == "" {
		x.source = header
	}
	if x.source == "" && x.token != nil {
		x.source = s.dir.sourceOf(x.token).ID
	}
	x.count()
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
