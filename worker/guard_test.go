package worker_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const patient = "patient 4711"

// hostile panics in every function that a worker is given: always, or the first time only.
type hostile struct {
	once bool
	n    atomic.Int64
}

func (h *hostile) strike() {
	if !h.once || h.n.Add(1) == 1 {
		panic(patient)
	}
}

func (h *hostile) Acquire(context.Context, string, contract.Lane) (func(bool), error) {
	h.strike()
	return func(bool) { panic(patient) }, nil
}

func (h *hostile) Failed(string) { h.strike() }

// tracers gives a Tracer that panics.
type tracers struct {
	noop.TracerProvider
	h *hostile
}

func (t tracers) Tracer(string, ...trace.TracerOption) trace.Tracer { return tracer{h: t.h} }

type tracer struct {
	noop.Tracer
	h *hostile
}

func (t tracer) Start(ctx context.Context, _ string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	t.h.strike()
	return ctx, noop.Span{}
}

// syncBuffer is a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A panic of any function of the Config is logged by its type and counts as a failure of
// that function: every message still has its settlement.
func TestGuarantee_APanicOfTheEmbeddersCodeLosesNothing(t *testing.T) {
	always, once := func() *hostile { return &hostile{} }, func() *hostile { return &hostile{once: true} }
	for what, set := range map[string]func(c *worker.Config){
		"Config.Observe": func(c *worker.Config) { h := always(); c.Observe = func(worker.Event) { h.strike() } },
		"Source.Hold": func(c *worker.Config) {
			h := always()
			c.Sources[0].Hold = func(outbox.Message) bool { h.strike(); return false }
		},
		"Source.MessageScopes": func(c *worker.Config) {
			h := always()
			c.Sources[0].MessageScopes = func(outbox.Message) []string { h.strike(); return nil }
		},
		"Config.Audit": func(c *worker.Config) {
			h := once()
			c.Audit = func(context.Context, audit.Entry) error { h.strike(); return nil }
		},
		"Config.Limiter": func(c *worker.Config) { c.Limiter = once() },
		"Config.Tracer":  func(c *worker.Config) { c.Tracer = tracers{h: always()} },
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				log := &syncBuffer{}
				c := worker.Config{Sources: []worker.Source{{Name: source}}, Logger: slog.New(slog.NewTextHandler(log, nil))}
				set(&c)
				w, err := worker.New(r.js, r.far, c)
				if err != nil {
					r.Fatal(err)
				}
				ctx, cancel := context.WithCancel(r.Context())
				done := make(chan error, 1)
				go func() { done <- w.Run(ctx) }()
				id, request := r.publish(outbox.Message{}), r.publish(outbox.Message{Lane: contract.LaneRequest})
				bubble.Sleep(5 * time.Minute)
				cancel()
				if err := <-done; err != nil {
					r.Error(err)
				}
				if info, err := r.js.Stream(r.Context(), "REDOX_OUT"); err != nil || info.CachedInfo().State.Msgs != 0 || len(r.far.Of(id)) != 1 || len(r.far.Of(request)) != 1 {
					r.Errorf("%v left of the queue, %d and %d deliveries, %v", info.CachedInfo().State.Msgs, len(r.far.Of(id)), len(r.far.Of(request)), err)
				}
				if text := log.String(); !strings.Contains(text, what+" panicked") || strings.Contains(text, patient) {
					r.Errorf("log:\n%s", text)
				}
			})
		})
	}
}

// Under a Hold that panics a message of unknown outcome is held.
func TestGuarantee_AHoldThatPanicsHolds(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{}, worker.UnknownOutcome(context.DeadlineExceeded)
		}
		r.start(worker.Config{Sources: []worker.Source{{Name: source, Hold: func(outbox.Message) bool { panic(patient) }}}})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Of(id)) != 1 {
			t.Errorf("settled %s after %d deliveries", e.Settlement, len(r.far.Of(id)))
		}
	})
}

// A deliverer that panics may have sent the message: under hold it is not sent again, and
// otherwise not without saying so.
func TestGuarantee_APanicIsAnUnknownOutcome(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				panic("after the request was written")
			}
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || !e.PossibleDuplicate {
			t.Errorf("settled %s, possible duplicate %t", e.Settlement, e.PossibleDuplicate)
		}
		stop()
		r.start(worker.Config{Sources: holding})
		id = r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Of(id)) != 1 {
			t.Errorf("under hold: settled %s after %d calls", e.Settlement, len(r.far.Of(id)))
		}
	})
}
