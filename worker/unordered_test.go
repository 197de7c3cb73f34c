package worker_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// logged is a log that others write while a test reads it.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// Whoever asks for an order on a plain subject does not get it, and reads so once in the
// log, without the key.
func TestRun_AnOrderThatIsNotKeptIsSaidOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		log := new(logged)
		r.start(worker.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		for _, name := range []string{outbox.HeaderOrderKey, outbox.HeaderOrderToken, outbox.HeaderOrderKey} {
			value := strings.Repeat("4711", 8) // a token's form
			m := &nats.Msg{Subject: "redox.out.clinic-a.send", Header: nats.Header{name: {value}}, Data: []byte("{}")}
			if _, err := r.js.PublishMsg(r.Context(), m); err != nil {
				r.Fatal(err)
			}
		}
		r.ordered("in-order", "patient")
		r.until("all are sent", func() bool { return len(r.far.Calls()) == 4 })
		if n := strings.Count(log.String(), "goes in any order"); n != 1 || strings.Contains(log.String(), "4711") {
			r.Errorf("said %d times:\n%s", n, log)
		}
	})
}
