package worker_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// crashing is a NATS server that can be replaced by one which is started on the image of
// its disk: as after SIGKILL, without what its consumers had not yet written down.
type crashing struct {
	*testing.T
	mu     sync.Mutex
	server *natsdev.Server
}

func (c *crashing) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server.InProcessConn()
}

func (c *crashing) start(dir string) {
	c.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: dir})
	if err != nil {
		c.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
}

func (c *crashing) stop() { _ = c.server.Shutdown() }

// image copies the disk as it is.
func (c *crashing) image() string {
	c.Helper()
	dir := c.TempDir()
	if err := os.CopyFS(dir, os.DirFS(c.server.Dir())); err != nil {
		c.Fatal(err)
	}
	return dir
}

// crash loses the state of every consumer.
func (c *crashing) crash() { c.crashTo("") }

// crashTo takes the state of every consumer back to that of an earlier image, or loses it.
func (c *crashing) crashTo(earlier string) {
	c.Helper()
	image, forgotten := c.image(), 0
	err := filepath.WalkDir(image, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "o.dat" {
			return err
		}
		forgotten++
		if earlier == "" {
			return os.Remove(path)
		}
		name, err := filepath.Rel(image, path)
		if err != nil {
			return err
		}
		state, err := os.ReadFile(filepath.Join(earlier, name))
		if err != nil {
			return os.Remove(path) // there was none yet
		}
		return os.WriteFile(path, state, 0o600)
	})
	if err != nil || forgotten == 0 {
		c.Fatalf("%d consumer states: %v", forgotten, err)
	}
	c.stop()
	c.start(image)
}

// cable is a connection to the server that can be pulled out.
type cable struct {
	*crashing
	mu    sync.Mutex
	out   bool
	conns []net.Conn
}

func (c *cable) InProcessConn() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out {
		return nil, errFar
	}
	conn, err := c.crashing.InProcessConn()
	c.conns = append(c.conns, conn)
	return conn, err
}

func (c *cable) plug(in bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = !in
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// connect opens a connection of its own, which comes back after a crash.
func (c *crashing) connect() jetstream.JetStream { return c.connectBy(c) }

func (c *crashing) connectBy(by nats.InProcessConnProvider) jetstream.JetStream {
	c.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(by), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		c.Fatal(err)
	}
	return js
}

// onCrashing runs f with a far side and two workers, each with a connection of its own;
// start starts the second one.
func onCrashing(t *testing.T, sources []worker.Source, f func(one *rig, c *cable, start func())) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, _ jetstream.JetStream) {
		c := &cable{crashing: &crashing{T: t}}
		c.start(t.TempDir())
		defer c.stop()
		one, two := &rig{T: t, js: c.connectBy(c), far: &workertest.Far{}}, &rig{T: t, js: c.connect()}
		defer two.js.Conn().Close()
		defer one.js.Conn().Close()
		if _, err := (topology.Topology{}).Ensure(t.Context(), one.js); err != nil {
			t.Fatal(err)
		}
		two.far = one.far
		one.start(worker.Config{ID: "one", Sources: sources})
		defer one.stop()
		defer two.stop()
		f(one, c, func() { two.start(worker.Config{ID: "two", Sources: sources}) })
	})
}

// inTurn fails when a call begins before an earlier one has ended.
func inTurn(t *testing.T, calls []workertest.Call) {
	t.Helper()
	for i := 1; i < len(calls); i++ {
		if before := calls[i-1]; before.End.IsZero() || calls[i].Start.Before(before.End) {
			t.Errorf("%s was sent while %s was in flight", calls[i].ID, before.ID)
		}
		if calls[i].ID < calls[i-1].ID {
			t.Errorf("%s was sent after %s", calls[i].ID, calls[i-1].ID)
		}
	}
}

// A server that was killed delivers anew what a worker still has. Nobody sends it beside
// that worker, and nothing overtakes it.
func TestGuarantee_OrderWhenTheServerForgetsADelivery(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		startTwo()
		r.far.Answer = func(ctx context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			bubble.Sleep(10 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m1 in flight", func() bool { return len(r.far.Calls()) == 1 })
		c.crash()
		r.until("both sent", func() bool { return len(r.far.Of("m2")) == 1 && !r.far.Of("m2")[0].End.IsZero() })
		inTurn(t, r.far.Calls())
		if n := len(r.far.Of("m1")); n != 1 {
			t.Errorf("m1 was sent %d times", n)
		}
	})
}

// The lease of a forgotten delivery is not renewed: what takes longer is cancelled before
// anybody else sends it.
func TestGuarantee_LeaseOfAForgottenDeliveryEnds(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		startTwo()
		r.far.Answer = func(ctx context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if m.ID == "m1" && n == 1 {
				<-ctx.Done()
				return outbox.Answer{}, worker.UnknownOutcome(ctx.Err())
			}
			bubble.Sleep(time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m1 in flight", func() bool { return len(r.far.Calls()) == 1 })
		start := time.Now()
		c.crash()
		r.until("both sent", func() bool { return len(r.far.Of("m2")) == 1 && !r.far.Of("m2")[0].End.IsZero() })
		inTurn(t, r.far.Calls())
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("the token stood still for %v", took)
		}
	})
}

// Under hold, too: the message is with its first worker, and neither sent nor settled by
// another meanwhile.
func TestGuarantee_HoldWhenTheServerForgetsADelivery(t *testing.T) {
	onCrashing(t, holding, func(r *rig, c *cable, startTwo func()) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(10 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		id := r.publish(outbox.Message{})
		r.until("in flight", func() bool { return len(r.far.Calls()) == 1 })
		startTwo()
		c.crash()
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s", e.Settlement)
		}
		bubble.Sleep(2 * time.Minute)
		if n, dead := len(r.far.Calls()), r.deadLetters(); n != 1 || len(dead) != 0 {
			t.Errorf("%d requests and %d dead letters, want 1 and 0", n, len(dead))
		}
	})
}

// A worker that was cut off for longer than the ack wait does not acknowledge what another
// is sending: JetStream would deliver the next one beside it.
func TestGuarantee_OrderWhenAWorkerComesBack(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if m.ID == "m1" && n == 2 {
				bubble.Sleep(time.Minute)
			}
			bubble.Sleep(time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m1 in flight", func() bool { return len(r.far.Calls()) == 1 })
		startTwo()
		c.plug(false)
		r.until("m1 with the other", func() bool { return len(r.far.Calls()) == 2 })
		c.plug(true)
		r.until("both sent", func() bool { return len(r.far.Of("m2")) == 1 && !r.far.Of("m2")[0].End.IsZero() })
		inTurn(t, r.far.Calls())
	})
}

// A worker that has its answer and has lost its lease does not acknowledge beside whoever
// has the message then. It leaves word, and the message is not sent again.
func TestGuarantee_SettledWithoutALeaseIsNotSentAgain(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		startTwo()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m1 in flight", func() bool { return len(r.far.Calls()) == 1 })
		c.stop()
		bubble.Sleep(2 * time.Minute)
		c.start(c.server.Dir())
		r.until("both sent", func() bool { return len(r.far.Of("m2")) == 1 && !r.far.Of("m2")[0].End.IsZero() })
		inTurn(t, r.far.Calls())
		if n := len(r.far.Of("m1")); n != 1 {
			t.Errorf("m1 was sent %d times", n)
		}
	})
}

// A server that was killed waits for messages that were acknowledged just before, and says
// that somebody has removed them. That makes no dead letter of a message that was delivered.
func TestSweeper_LeavesWhatTheServerForgotWasAcknowledged(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			bubble.Sleep(10 * time.Second)
			if m.ID == "older" { // what is younger than all that is stored the server does not miss
				return outbox.Answer{}, worker.RetryAfter(errFar, 10*time.Minute)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.publish(outbox.Message{ID: "older"})
		id := r.publish(outbox.Message{})
		r.until("in flight", func() bool { return len(r.far.Calls()) == 2 })
		bubble.Sleep(time.Second) // the server writes down that it delivered
		inFlight := c.image()
		r.awaitSettled(id)
		c.crashTo(inFlight)
		r.until("the server misses the message", func() bool { return r.stored("REDOX_ADVISORIES") == 1 })
		bubble.Sleep(time.Minute)
		if n := r.stored("REDOX_DLQ"); n != 0 {
			t.Errorf("%d dead letters of a message that was delivered", n)
		}
	})
}

// That nobody is there to take a mark is no confirmation of it, as while a consumer of a
// cluster elects its leader: the lease ends.
func TestGuarantee_LeaseEndsWhileNobodyConfirmsIt(t *testing.T) {
	inBubble(t, func(r *rig) {
		ended := make(chan error, 1)
		r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return outbox.Answer{}, worker.UnknownOutcome(ctx.Err())
		}
		r.start(worker.Config{})
		r.publish(outbox.Message{})
		r.until("in flight", func() bool { return len(r.far.Calls()) == 1 })
		start := time.Now()
		if err := r.js.DeleteConsumer(r.Context(), "REDOX_OUT", source+"-send"); err != nil {
			t.Fatal(err)
		}
		if cause := <-ended; !errors.Is(cause, worker.ErrLeaseLost) || time.Since(start) > time.Minute {
			t.Errorf("the attempt ended after %v: %v, want a lost lease after the ack wait", time.Since(start), cause)
		}
	})
}

// A worker that starts after the crash has not seen it, and learns of it from the others.
func TestGuarantee_OrderWhenAWorkerStartsAfterTheServerForgot(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(10 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		r.ordered("m1", "patient")
		r.ordered("m2", "patient")
		r.until("m1 in flight", func() bool { return len(r.far.Calls()) == 1 })
		c.crash()
		startTwo()
		r.until("both sent", func() bool { return len(r.far.Of("m2")) == 1 && !r.far.Of("m2")[0].End.IsZero() })
		inTurn(t, r.far.Calls())
		if n := len(r.far.Of("m1")); n != 1 {
			t.Errorf("m1 was sent %d times", n)
		}
	})
}

// What a worker had in hand and had not sent when the server was killed, that server gives to
// whoever asks first: the worker leaves it alone.
func TestGuarantee_UnsentMessagesOfAKilledServerAreLeftAlone(t *testing.T) {
	onCrashing(t, nil, func(r *rig, c *cable, startTwo func()) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(5 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		const inFlight, all = 64, 120
		ids := make([]string, all)
		for i := range ids {
			ids[i] = r.publish(outbox.Message{})
		}
		r.until("all slots in use", func() bool { return len(r.far.Calls()) == inFlight })
		sent := make(map[string]bool)
		for _, call := range r.far.Calls() {
			sent[call.ID] = true
		}
		c.crash()
		startTwo()
		r.until("the queue is empty", func() bool { return r.stored("REDOX_OUT") == 0 })
		for _, id := range ids {
			if n := len(r.far.Of(id)); n != 1 && !sent[id] {
				t.Errorf("%s, unsent when the server was killed, was sent %d times", id, n)
			}
		}
	})
}
