package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// rig is a provisioned JetStream in fake time with a scripted far side.
type rig struct {
	*testing.T
	js  jetstream.JetStream
	far *workertest.Far

	mu      sync.Mutex
	events  []worker.Event
	stopped []func()
}

const source = "clinic-a"

// inBubble runs f with a rig.
func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		top := topology.Topology{}
		if _, err := top.Ensure(t.Context(), js); err != nil {
			t.Fatal(err)
		}
		r := &rig{T: t, js: js, far: &workertest.Far{}}
		defer r.stop()
		f(r)
	})
}

// start runs a worker until stop or the end of the bubble and returns its stop, which
// waits for it.
func (r *rig) start(c worker.Config) (stop func()) {
	r.Helper()
	_, stop = r.launch(c)
	return stop
}

// launch is start for a test that looks at the worker.
func (r *rig) launch(c worker.Config) (_ *worker.Worker, stop func()) {
	r.Helper()
	if c.Sources == nil && !c.AllSources {
		c.Sources = []worker.Source{{Name: source, Scopes: []string{"key:main", "host:far"}}}
	}
	c.Observe = func(e worker.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
	}
	w, err := worker.New(r.js, r.far, c)
	if err != nil {
		r.Fatal(err)
	}
	return w, r.serve(w)
}

// serve runs a worker until stop or the end of the bubble.
func (r *rig) serve(w *worker.Worker) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.Errorf("Run: %v", err)
		}
	})
	r.stopped = append(r.stopped, stop)
	return stop
}

func (r *rig) stop() {
	for _, stop := range r.stopped {
		stop()
	}
}

// publish stores a message; missing fields get defaults.
func (r *rig) publish(m outbox.Message) string {
	r.Helper()
	if m.ID == "" {
		m.ID = outbox.NewID()
	}
	if m.Source == "" {
		m.Source = source
	}
	if m.Body == nil {
		m.Body = []byte(`{}`)
	}
	msg, err := m.Encode("")
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
		r.Fatal(err)
	}
	return m.ID
}

// ordered publishes a message of an order key.
func (r *rig) ordered(id, key string) {
	r.Helper()
	token, err := outbox.OrderToken([]byte("0123456789abcdef0123456789abcdef"), key)
	if err != nil {
		r.Fatal(err)
	}
	r.publish(outbox.Message{ID: id, OrderToken: token})
}

// consumer is one of the queue, made where there is none as a worker makes it.
func (r *rig) consumer(name string) (jetstream.Consumer, error) {
	r.Helper()
	c, err := r.js.Consumer(r.Context(), "REDOX_OUT", name)
	if !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return c, err
	}
	cfg := jetstream.ConsumerConfig{Name: name, Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		MaxDeliver: -1, MaxAckPending: 1 << 20, InactiveThreshold: time.Hour}
	of, request := strings.CutSuffix(name, "-request")
	if request {
		cfg.FilterSubject = contract.Prefix("").RequestSubject(of)
	} else {
		subject := contract.Prefix("").SendSubject(strings.TrimSuffix(name, "-send"))
		cfg.FilterSubjects = []string{subject, subject + ".>"}
	}
	return r.js.CreateConsumer(r.Context(), "REDOX_OUT", cfg)
}

// until waits, in fake time, for a condition.
func (r *rig) until(what string, cond func() bool) {
	r.Helper()
	for range 100_000 {
		synctest.Wait()
		if cond() {
			return
		}
		bubble.Sleep(100 * time.Millisecond)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		r.Logf("%+v", e)
	}
	r.Fatalf("never happened: %s", what)
}

// settled is the settlement event of a message.
func (r *rig) settled(id string) (worker.Event, bool) {
	for _, e := range r.all(worker.EventSettled) {
		if e.MessageID == id {
			return e, true
		}
	}
	return worker.Event{}, false
}

// awaitSettled waits for the settlement of a message.
func (r *rig) awaitSettled(id string) worker.Event {
	r.Helper()
	var event worker.Event
	r.until(id+" settled", func() (ok bool) { event, ok = r.settled(id); return ok })
	return event
}

func (r *rig) all(kind worker.EventKind) []worker.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []worker.Event
	for _, e := range r.events {
		if e.Kind == kind {
			list = append(list, e)
		}
	}
	return list
}

// stored counts the messages of a stream.
func (r *rig) stored(stream string) uint64 {
	r.Helper()
	s, err := r.js.Stream(r.Context(), stream)
	if err != nil {
		r.Fatal(err)
	}
	info, err := s.Info(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return info.State.Msgs
}

// deadLetters reads the dead-letter stream.
func (r *rig) deadLetters() []dlq.Letter {
	r.Helper()
	s, err := r.js.Stream(r.Context(), "REDOX_DLQ")
	if err != nil {
		r.Fatal(err)
	}
	var letters []dlq.Letter
	for seq := max(1, s.CachedInfo().State.FirstSeq); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(r.Context(), seq)
		if err != nil {
			r.Fatal(err)
		}
		d, err := dlq.Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence, Time: msg.Time})
		if err != nil {
			r.Fatal(err)
		}
		letters = append(letters, d)
	}
	return letters
}

// inbox subscribes to an inbox and returns its subject and the replies so far.
func (r *rig) inbox() (subject string, replies func() []outbox.Reply) {
	r.Helper()
	subject = r.js.Conn().NewInbox()
	var mu sync.Mutex
	var list []outbox.Reply
	_, err := r.js.Conn().Subscribe(subject, func(msg *nats.Msg) {
		reply, err := outbox.DecodeReply(msg)
		if err != nil {
			r.Errorf("reply: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		list = append(list, reply)
	})
	if err != nil {
		r.Fatal(err)
	}
	return subject, func() []outbox.Reply {
		mu.Lock()
		defer mu.Unlock()
		return append([]outbox.Reply(nil), list...)
	}
}

// seconds renders times relative to the first, rounded, for comparison.
func seconds(calls []workertest.Call) string {
	text := ""
	for _, c := range calls {
		text += fmt.Sprintf("%d ", c.Start.Sub(calls[0].Start).Round(time.Second)/time.Second)
	}
	return text
}
