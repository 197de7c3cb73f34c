package gateway

import (
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
)

const (
	// maxInLine bounds the memory for requests of all sources that wait to be stored, in bytes.
	maxInLine = 128 << 20
	// besideBytes is what a request takes of that beside its own bytes: without it millions of
	// small ones would wait.
	besideBytes = 512
)

// held is the memory that a request takes while it waits.
func held(in *nats.Msg) int { return in.Size() + besideBytes }

// turns serves requests, so many at a time. The subjects that have some take turns: one with
// a hundred thousand keeps another's first waiting no longer than one with two.
//
// A subject may have no more than three times of what stays free beside it, of the requests
// that are served as of the bytes that wait. So one alone leaves a quarter to those who come,
// however long its requests take, and something stays free beside any number.
type turns struct {
	serve func(*nats.Msg)
	limit int

	mu    sync.Mutex
	lines map[string]*line // subjects with a request
	ring  []*line          // those with one that waits; the first is the next
	busy  int              // requests that are served
	bytes int              // of those that wait
	all   sync.WaitGroup
}

// line are the requests of a subject.
type line struct {
	subject string
	waiting []*nats.Msg // the oldest first
	bytes   int         // of those
	busy    int         // how many are served
}

func newTurns(limit int, serve func(*nats.Msg)) *turns {
	return &turns{serve: serve, limit: limit, lines: make(map[string]*line)}
}

// leaves reports whether one that has so much leaves enough free.
func leaves(has, free int) bool { return free >= 0 && has <= 3*free }

// add puts a request in line. It reports false, and does nothing, where too much waits already.
// It must not be called after wait.
func (t *turns) add(in *nats.Msg) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[in.Subject]
	if l == nil {
		l = &line{subject: in.Subject}
	}
	size := held(in)
	free := maxInLine - t.bytes - size
	if free < 0 || l.bytes > 0 && !leaves(l.bytes+size, free) {
		return false
	}
	t.lines[in.Subject] = l
	if len(l.waiting) == 0 {
		t.ring = append(t.ring, l)
	}
	l.waiting = append(l.waiting, in)
	l.bytes += size
	t.bytes += size
	t.start()
	return true
}

// start serves what may be served, each request on a goroutine of its own.
func (t *turns) start() {
	for l, in := t.next(); in != nil; l, in = t.next() {
		t.all.Go(func() { t.run(l, in) })
	}
}

// run serves a request, and then others for as long as there are some.
func (t *turns) run(l *line, in *nats.Msg) {
	for in != nil {
		t.serve(in)
		l, in = t.served(l)
	}
}

// served notes that a request of the line was served, and returns the next one.
func (t *turns) served(l *line) (*line, *nats.Msg) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l.busy--
	t.busy--
	if l.busy == 0 && len(l.waiting) == 0 {
		delete(t.lines, l.subject)
	}
	l, in := t.next()
	t.start()
	return l, in
}

// next takes the oldest request of the subject whose turn it is, of those that may have one
// more served; nil when there is none.
func (t *turns) next() (*line, *nats.Msg) {
	free := t.limit - t.busy - 1
	if free < 0 {
		return nil, nil
	}
	i := slices.IndexFunc(t.ring, func(l *line) bool { return l.busy == 0 || leaves(l.busy+1, free) })
	if i < 0 {
		return nil, nil
	}
	l := t.ring[i]
	t.ring = slices.Delete(t.ring, i, i+1)
	in := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	size := held(in)
	l.bytes -= size
	t.bytes -= size
	l.busy++
	t.busy++
	if len(l.waiting) > 0 {
		t.ring = append(t.ring, l)
	}
	return l, in
}

// wait returns when everything in line was served.
func (t *turns) wait() { t.all.Wait() }
