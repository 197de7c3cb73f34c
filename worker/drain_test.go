package worker_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// distant is a connection to a server that is far away.
type distant struct{ *crashing }

func (d distant) InProcessConn() (net.Conn, error) {
	conn, err := d.crashing.InProcessConn()
	return far{conn}, err
}

type far struct{ net.Conn }

func (f far) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	bubble.Sleep(100 * time.Millisecond)
	return n, err
}

// What a worker had in its buffer is handed back at once when it stops, however far the
// server is: none of it lies idle, and none seems to have been sent.
func TestRun_HandsBackToADistantServer(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
		c := &crashing{T: t}
		c.start(t.TempDir())
		defer c.stop()
		one, two := &rig{T: t, js: c.connectBy(distant{c}), far: &workertest.Far{}}, &rig{T: t, js: c.connect()}
		two.far = one.far
		defer two.js.Conn().Close()
		defer one.js.Conn().Close()
		if _, err := (topology.Topology{}).Ensure(t.Context(), two.js); err != nil {
			t.Fatal(err)
		}
		answers := make(chan struct{})
		one.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			<-answers
			return outbox.Answer{Status: 200}, nil
		}
		stop := one.start(worker.Config{ID: "one"})
		const all = 200
		for i := range all {
			two.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		one.until("all slots in use", func() bool { return len(one.far.Calls()) == 64 })
		bubble.Sleep(3 * time.Second)
		sent := make(map[string]bool)
		for _, call := range one.far.Calls() {
			sent[call.ID] = true
		}
		close(answers)
		stop()
		one.js.Conn().Close()
		bubble.Sleep(time.Second) // until its last read has come from afar: in the bubble no goroutine may outlive the test
		start := time.Now()
		defer two.stop()
		two.start(worker.Config{ID: "two", Concurrency: 200})
		two.until("the queue is empty", func() bool { return two.stored("REDOX_OUT") == 0 })
		if took := time.Since(start); took > 15*time.Second {
			t.Errorf("some lay idle: it took %v", took)
		}
		for _, e := range two.all(worker.EventSettled) {
			if e.PossibleDuplicate && !sent[e.MessageID] {
				t.Errorf("%s seems to have been sent before (delivery %d)", e.MessageID, e.Delivered)
			}
		}
	})
}

// What is parked behind another worker's head is handed back when a worker stops, though a head of another token that it has is
// not answered.
func TestRun_HandsBackWhatIsParkedAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		other, err := r.consumer(source + "-send")
		r.must(err)
		take := func() jetstream.Msg {
			t.Helper()
			msg, err := other.Next(jetstream.FetchMaxWait(5 * time.Second))
			r.must(err)
			return msg
		}
		answers := make(chan struct{})
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			select {
			case <-answers:
				return outbox.Answer{Status: 200}, nil
			case <-ctx.Done():
				return outbox.Answer{}, ctx.Err()
			}
		}
		r.ordered("hangs/1", "hangs")
		hangs := take()
		r.ordered("moves/1", "moves")
		moves := take()
		stop := r.start(worker.Config{})
		r.ordered("hangs/2", "hangs")
		r.ordered("moves/2", "moves")
		bubble.Sleep(200 * time.Millisecond)
		r.must(hangs.DoubleAck(r.Context()))
		_, token, _ := strings.Cut(hangs.Subject(), ".send.")
		r.must(r.js.Conn().Publish("redox.turn."+source, fmt.Appendf(nil, `{"token":%q,"head":3}`, token)))
		r.until("the next one hangs", func() bool { return len(r.far.Of("hangs/2")) == 1 })
		stopped := make(chan struct{})
		go func() { defer close(stopped); stop() }()
		bubble.Sleep(100 * time.Millisecond)
		r.must(moves.DoubleAck(r.Context()))
		if next, err := other.Next(jetstream.FetchMaxWait(5 * time.Second)); err != nil || next.Subject() != moves.Subject() {
			t.Errorf("another worker gets nothing: %v", err)
		}
		close(answers)
		<-stopped
	})
}
