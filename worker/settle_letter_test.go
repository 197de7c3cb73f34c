package worker_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

// The server takes no more than 64 KiB of headers with a message. A message that leaves no
// room for those of a dead letter is settled all the same.
func TestRun_HeadersThatLeaveNoRoomForADeadLetter(t *testing.T) {
	inBubble(t, func(r *rig) {
		msg := &nats.Msg{Subject: "redox.out." + source + ".send", Header: nats.Header{
			contract.HeaderID: {"m"}, contract.HeaderKind: {"nonsense"}, "X-Large": {strings.Repeat("x", 65_400)}, "X-Small": {"kept"}}}
		if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
			r.Fatal(err)
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("m"); e.Settlement != outbox.Poison {
			t.Errorf("settled %s", e.Settlement)
		}
		letters := r.deadLetters()
		if len(letters) != 1 || letters[0].Header.Get(contract.HeaderKind) != "nonsense" || letters[0].Header.Get("X-Small") != "kept" || letters[0].Header["X-Large"] != nil {
			t.Errorf("%d dead letters", len(letters))
		}
	})
}

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
