package workertest

import (
	"context"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Far is a scripted far side: a worker.Deliverer that records what it is asked to
// deliver. The zero value takes everything with status 200. It is safe for concurrent use.
type Far struct {
	// Answer decides what happens to one call; nil takes everything. n counts the calls
	// for the same message id from 1.
	Answer func(ctx context.Context, m outbox.Message, n int) (outbox.Answer, error)

	mu      sync.Mutex
	calls   []Call
	perID   map[string]int
	running int
	peak    int
}

// Call is one delivery the far side saw.
type Call struct {
	ID, Source string
	Lane       contract.Lane
	// N counts the calls for this message id from 1.
	N          int
	Body       []byte
	Start, End time.Time
	Err        error
}

// Deliver records the call and answers as scripted.
func (f *Far) Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
	f.mu.Lock()
	if f.perID == nil {
		f.perID = make(map[string]int)
	}
	f.perID[m.ID]++
	n, i := f.perID[m.ID], len(f.calls)
	f.calls = append(f.calls, Call{ID: m.ID, Source: m.Source, Lane: m.Lane, N: n, Body: m.Body, Start: time.Now()})
	f.running++
	f.peak = max(f.peak, f.running)
	f.mu.Unlock()

	answer, err := outbox.Answer{Status: 200}, error(nil)
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
		f.calls[i].End, f.calls[i].Err = time.Now(), err
	}()
	if f.Answer != nil {
		answer, err = f.Answer(ctx, m, n)
	}
	return answer, err
}

// Calls are the calls so far, in the order of their start.
func (f *Far) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Call(nil), f.calls...)
}

// Of are the calls for one message.
func (f *Far) Of(id string) []Call {
	var calls []Call
	for _, c := range f.Calls() {
		if c.ID == id {
			calls = append(calls, c)
		}
	}
	return calls
}

// Peak is the largest number of calls that ran at one time.
func (f *Far) Peak() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peak
}
