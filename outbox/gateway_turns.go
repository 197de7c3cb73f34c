package outbox

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// maxLine bounds the bytes of one source's requests of a lane that wait to be stored.
const maxLine = 64 << 20

// turns serves requests, so many at a time. The subjects that have some take turns: one with
// a hundred thousand keeps another's first waiting no longer than one with two.
type turns struct {
	serve func(*nats.Msg)
	limit int

	mu      sync.Mutex
	waiting map[string]*line // those with a request
	ring    []string         // their subjects; the first is the next
	busy    int              // goroutines
	all     sync.WaitGroup
}

// line are the waiting requests of a subject, the oldest first.
type line struct {
	requests []*nats.Msg
	bytes    int
}

func newTurns(limit int, serve func(*nats.Msg)) *turns {
	return &turns{serve: serve, limit: limit, waiting: make(map[string]*line)}
}

// add puts a request in line. It reports false, and does nothing, where the line is too long.
// It must not be called after wait.
func (t *turns) add(in *nats.Msg) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.waiting[in.Subject]
	if l == nil {
		l = new(line)
		t.waiting[in.Subject] = l
		t.ring = append(t.ring, in.Subject)
	}
	if l.bytes > 0 && l.bytes+in.Size() > maxLine {
		return false
	}
	l.requests, l.bytes = append(l.requests, in), l.bytes+in.Size()
	if t.busy < t.limit {
		t.busy++
		t.all.Go(t.run)
	}
	return true
}

// run serves until nothing waits.
func (t *turns) run() {
	for in := t.next(); in != nil; in = t.next() {
		t.serve(in)
	}
}

// next is the oldest request of the subject whose turn it is; nil ends the goroutine.
func (t *turns) next() *nats.Msg {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ring) == 0 {
		t.busy--
		return nil
	}
	subject := t.ring[0]
	t.ring = t.ring[1:]
	l := t.waiting[subject]
	in := l.requests[0]
	l.requests[0] = nil
	l.requests, l.bytes = l.requests[1:], l.bytes-in.Size()
	if len(l.requests) > 0 {
		t.ring = append(t.ring, subject)
	} else {
		delete(t.waiting, subject)
	}
	return in
}

// wait returns when everything in line was served.
func (t *turns) wait() { t.all.Wait() }
