package worker_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// hanging is a far side that does not answer one message and keeps no body of the others.
type hanging struct {
	mu     sync.Mutex
	bodies []weak.Pointer[byte]
}

func (h *hanging) Deliver(ctx context.Context, m outbox.Message) (outbox.Answer, error) {
	if m.ID == "slow" {
		<-ctx.Done()
		return outbox.Answer{}, context.Cause(ctx)
	}
	bubble.Sleep(10 * time.Millisecond) // so that there is always a next one in the window
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, weak.Make(&m.Body[0]))
	return outbox.Answer{Status: 200}, nil
}

// left counts the bodies that were delivered and are in memory still.
func (h *hanging) left() (delivered, left int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, body := range h.bodies {
		if body.Value() != nil {
			left++
		}
	}
	return len(h.bodies), left
}

// A client's message points to the one behind it: a hanging request must not keep all that
// was settled since in memory.
func TestRun_AHangingRequestKeepsNoOtherMessageInMemory(t *testing.T) {
	inBubble(t, func(r *rig) {
		far := &hanging{}
		w, err := worker.New(r.js, far, worker.Config{Concurrency: 4, Sources: []worker.Source{{Name: source}}})
		if err != nil {
			r.Fatal(err)
		}
		const messages, size = 200, 20_000
		for i := range messages {
			if i == messages/4 { // in the midst of others that wait in the window
				r.publish(outbox.Message{ID: "slow"})
			}
			r.publish(outbox.Message{ID: fmt.Sprint("m", i), Body: fmt.Appendf(nil, `{"Text":%q}`, make([]byte, size/4))})
		}
		ctx, cancel := context.WithCancel(r.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		r.until("all but one delivered", func() bool { n, _ := far.left(); return n == messages })
		bubble.Sleep(10 * time.Second) // what is kept for a while is kept no longer
		synctest.Wait()
		runtime.GC()
		runtime.GC()
		if _, left := far.left(); left > messages/10 {
			t.Errorf("%d of %d bodies are in memory still, with one message in flight", left, messages)
		}
		cancel()
		if err := <-ended; err != nil {
			r.Errorf("Run: %v", err)
		}
	})
}
