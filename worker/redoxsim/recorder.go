package redoxsim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
)

// recorder keeps the arrivals and the figures. One mutex guards all of it and is held for nanoseconds, twice or three
// times per request. Its zero value is empty.
type recorder struct {
	mu      sync.Mutex
	seq     uint64
	tick    uint64
	open    int
	records []*record // ring, oldest at first
	first   int
	dropped uint64
	keys    map[string]*keyState
	figures figures
}

// record is one arrival under construction; the recorder's mutex guards it.
type record struct {
	Arrival
	key *keyState
}

// keyState counts the arrivals of one message.
type keyState struct {
	name     string
	valid    int // attempts
	open     int
	taken    int
	retained int // records that refer to it
}

// begin opens the record of a request.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{s: s, w: w, r: r, client: s.clientIP(r)}
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	now := s.now() // under the lock: the order of Seq is the order of time
	wait, ok := s.quota.take(x.client, s.Quota, now)
	x.wanting, x.over = wait, !ok
	l.seq++
	l.tick++
	l.open++
	l.figures.begin(now, l.open)
	x.seq = l.seq
	if s.NoRecord {
		return x
	}
	x.rec = &record{Arrival: Arrival{
		Seq: l.seq, Begin: l.tick, Start: now, InFlight: l.open, Method: r.Method, Path: r.URL.Path, Client: x.client,
		HeaderSource: r.Header.Get("Redox-Source-Id"), TraceParent: r.Header.Get("Traceparent"), Header: unusual(r.Header),
	}}
	l.keep(x.rec, s.maxArrivals())
	return x
}

// unusual are the headers of a request that not every client sends to Redox; nil for none.
func unusual(all http.Header) (h http.Header) {
	for name, values := range all {
		switch name {
		case "Authorization", "User-Agent", "Content-Type", "Content-Length", "Accept", "Accept-Encoding", "Redox-Source-Id", "Traceparent", "Tracestate":
			continue
		}
		if h == nil {
			h = make(http.Header)
		}
		h[name] = values
	}
	return h
}

func (s *Server) maxArrivals() int {
	if s.MaxArrivals == 0 {
		return 250_000
	}
	return s.MaxArrivals
}

// keep adds a record, in place of the oldest when there are enough.
func (l *recorder) keep(r *record, limit int) {
	if limit < 0 || len(l.records) < limit {
		l.records = append(l.records, r)
		return
	}
	old := l.records[l.first]
	l.records[l.first] = r
	l.first = (l.first + 1) % len(l.records)
	l.dropped++
	if k := old.key; k != nil {
		k.retained--
		l.forget(k)
	}
}

// forget drops the count of a message that neither runs nor is in the record.
func (l *recorder) forget(k *keyState) {
	if k.retained <= 0 && k.open == 0 && l.keys[k.name] == k { // not its namesake after a Reset
		delete(l.keys, k.name)
	}
}

// note changes the record, if there is one.
func (x *exchange) note(change func(*Arrival)) {
	if x.rec == nil {
		return
	}
	x.s.log.mu.Lock()
	defer x.s.log.mu.Unlock()
	change(&x.rec.Arrival)
}

// count names the message and numbers the attempt. Without a record and without faults there is nothing to count for.
func (x *exchange) count() {
	s := x.s
	if x.rec == nil && !s.faulty() && x.msg.script == "" {
		x.s.log.token(x.state)
		return
	}
	digest := x.digest()
	x.name = s.nameOf(x, digest)
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.figures.token(x.state)
	if l.keys == nil {
		l.keys = map[string]*keyState{}
	}
	k := l.keys[x.name]
	if k == nil {
		k = &keyState{name: x.name}
		l.keys[x.name] = k
	}
	others := k.open
	k.open++
	if x.state == TokenValid {
		k.valid++
		x.attempt = k.valid
	}
	if others > 0 {
		l.figures.overlaps++
	}
	x.key = k
	if x.rec == nil {
		k.retained++ // until Reset: rules count on it
		return
	}
	k.retained++
	x.rec.key = k
	x.fill(&x.rec.Arrival, digest, others)
}

// digest is that of the body, or of the file in it.
func (x *exchange) digest() Digest {
	if x.upload != nil {
		return x.upload.digest
	}
	return sha256.Sum256(x.body)
}

func (x *exchange) fill(a *Arrival, digest Digest, others int) {
	m := x.msg
	a.Source, a.BodySource, a.Query = x.source, m.sourceID, x.query
	a.DataModel, a.EventType = x.shown()
	a.Key, a.Attempt, a.KeyInFlight, a.BodySHA256 = x.name, x.attempt, others, digest
	a.Token, a.TokenValid = x.state, x.state == TokenValid
	if x.token != nil {
		a.TokenID, a.KeyOwner = x.token.id, x.token.owner
	}
	if x.s.KeepBodies {
		a.Body = append([]byte(nil), x.body...)
	}
}

func (s *Server) nameOf(x *exchange, digest Digest) string {
	if s.MessageKey != nil {
		return s.MessageKey(x.r.Header, x.body)
	}
	if x.msg.key != "" {
		return x.msg.key
	}
	if x.path != "" {
		digest = sha256.Sum256([]byte(x.path + "\x00" + digest.String()))
	}
	return hex.EncodeToString(digest[:16])
}

// granted records the token that a token request was given.
func (x *exchange) granted(t *token) {
	l := &x.s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.figures.issued++
	if x.rec != nil {
		x.rec.TokenID, x.rec.KeyOwner = t.id, t.owner
	}
}

// accepted counts a message that Redox took.
func (x *exchange) accepted() {
	l := &x.s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.upload != nil {
		return // the file store counts them
	}
	l.figures.accepted++
	if x.key == nil {
		return
	}
	x.key.taken++
	if x.key.taken > 1 {
		l.figures.duplicates++
	}
}

// close ends the record; status 0 means that no answer was given. Only the first call counts.
func (x *exchange) close(status int) {
	if x.ended {
		return
	}
	x.ended = true
	if done := x.closeRecord(status); done != nil && x.s.Observe != nil {
		x.s.Observe(*done)
	}
}

// closeRecord returns what was recorded of the arrival; nil where nothing is.
func (x *exchange) closeRecord(status int) *Arrival {
	now := x.s.now()
	l := &x.s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick++
	l.open--
	l.figures.end(x.route, status)
	if x.key != nil {
		x.key.open--
		l.forget(x.key)
	}
	if x.rec == nil {
		return nil
	}
	x.rec.Finish, x.rec.End, x.rec.Status = l.tick, now, status
	done := x.rec.Arrival
	return &done
}

// finish is the end of the exchange, panics included.
func (x *exchange) finish() {
	x.close(0)
	if x.loading {
		x.s.load.leave()
	}
	if x.buf != nil && x.buf.Cap() <= keepBuffer {
		x.body = nil
		buffers.Put(x.buf)
	}
}

// trace is the Redox-Trace-Id of the answer.
func (x *exchange) trace() string {
	id := uuid()
	x.note(func(a *Arrival) { a.TraceID = id })
	return id
}

// Arrivals returns the record so far, in the order of arrival, requests in flight included (Finish 0).
func (s *Server) Arrivals() []Arrival { return s.ArrivalsAfter(0, 0) }

// ArrivalsAfter returns at most limit arrivals with a Seq above after; limit 0 means all.
func (s *Server) ArrivalsAfter(after uint64, limit int) []Arrival {
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.records)
	start := 0
	if n > 0 {
		oldest := l.records[l.first%n].Seq
		if after >= oldest {
			start = int(min(after-oldest+1, uint64(n)))
		}
	}
	if limit <= 0 || limit > n-start {
		limit = n - start
	}
	list := make([]Arrival, 0, limit)
	for i := start; i < start+limit; i++ {
		list = append(list, l.records[(l.first+i)%n].Arrival)
	}
	return list
}

// Reset clears the record, the figures, the attempts and the quota windows, and starts the rules in force anew.
// Requests in flight are still answered, and are no longer recorded. Tokens, keys, sources, files, logs and Seq stay.
func (s *Server) Reset() {
	if set := s.faults.current.Load(); set != nil {
		_, rules := s.Rules()
		s.setRules(set.profile, rules)
	}
	s.quota.reset()
	s.load.reset()
	s.blobs.reset()
	l := &s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.first, l.dropped, l.keys = nil, 0, 0, nil
	l.figures = figures{}
}
