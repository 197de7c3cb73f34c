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

// The server takes no more than 64 KiB of headers with a message. A message that leaves no
// room for those of a dead letter is settled all the same.
func TestRun_HeadersThatLeaveNoRoomForADeadLetter(t *testing.T) {
	inBubble(t, func(r *rig) {
		msg := &nats.Msg{Subject: "redox.out." + source + ".send", Header: nats.Header{
			outbox.HeaderID: {"m"}, outbox.HeaderKind: {"nonsense"}, "X-Large": {strings.Repeat("x", 65_400)}, "X-Small": {"kept"}}}
		if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
			r.Fatal(err)
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("m"); e.Settlement != outbox.Poison {
			t.Errorf("settled %s", e.Settlement)
		}
		letters := r.deadLetters()
		if len(letters) != 1 || letters[0].Header.Get(outbox.HeaderKind) != "nonsense" || letters[0].Header.Get("X-Small") != "kept" || letters[0].Header["X-Large"] != nil {
			t.Errorf("%d dead letters", len(letters))
		}
	})
}

// A header that its sender took for one of the contract stops the message: passed over, it
// would have been sent years after its deadline, or out of order.
func TestRun_AHeaderThatIsNotOfTheContractIsPoison(t *testing.T) {
	inBubble(t, func(r *rig) {
		log := new(logged)
		r.start(worker.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		for name, value := range map[string]string{
			"redox-deadline": "2020-01-01T00:00:00Z", "Redox-Dead-Line": "2020-01-01T00:00:00Z", outbox.HeaderOrderKey: "MRN-4711",
			outbox.HeaderOrderToken: strings.Repeat("4711", 8), outbox.HeaderDeadline: "", "nats-msg-id": "4711",
		} {
			msg := &nats.Msg{Subject: "redox.out." + source + ".send", Data: []byte("{}"), Header: nats.Header{outbox.HeaderMessageID: {"of-" + name}, name: {value}}}
			if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
				r.Fatal(err)
			}
			if e := r.awaitSettled("of-" + name); e.Settlement != outbox.Poison || !strings.Contains(e.Error, name) {
				r.Errorf("%s: settled %s: %s", name, e.Settlement, e.Error)
			}
		}
		if calls := r.far.Calls(); len(calls) != 0 {
			r.Errorf("%d were sent", len(calls))
		}
		for _, d := range r.deadLetters() {
			if d.MessageID == "of-redox-deadline" && d.Header["redox-deadline"] == nil {
				r.Errorf("the dead letter lost the header: %v", d.Header)
			}
		}
		if strings.Contains(log.String(), "4711") {
			r.Errorf("a value is in the log:\n%s", log)
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
