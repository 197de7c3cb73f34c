package worker_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// A server that starts swallows requests to its API. None of them may be waited for until
// the deadline of Run's context, however far away that is.
func TestRun_ASwallowedRequestDoesNotStopAPuller(t *testing.T) {
	inBubble(t, func(r *rig) {
		js := swallowing(r, ".CONSUMER.INFO.", 1)
		w, err := worker.New(js, r.far, worker.Config{Sources: []worker.Source{{Name: source}}})
		if err != nil {
			r.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(r.Context(), 24*time.Hour)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		id := r.publish(outbox.Message{})
		r.until("the message was sent", func() bool { return len(r.far.Calls()) == 1 })
		if got := r.far.Calls()[0].ID; got != id {
			r.Errorf("%s was sent, want %s", got, id)
		}
		r.until("every puller is bound", func() bool { return w.Status().Ready() })
		if deadline, _ := ctx.Deadline(); time.Until(deadline) < 23*time.Hour {
			r.Errorf("it took until %v before the deadline", time.Until(deadline))
		}
		cancel()
		if err := <-ended; err != nil {
			r.Error(err)
		}
	})
}

// Nor is an operator's pause overlooked because the server did not answer at once.
func TestRun_ASwallowedRequestHidesNoPause(t *testing.T) {
	inBubble(t, func(r *rig) {
		if err := worker.NewPauses(r.js, "", "operator").Pause(r.Context(), source, 0, ""); err != nil {
			r.Fatal(err)
		}
		id := r.publish(outbox.Message{})
		js := swallowing(r, ".STREAM.INFO.KV_REDOX_STATE", 3)
		w, err := worker.New(js, r.far, worker.Config{Sources: []worker.Source{{Name: source}}})
		if err != nil {
			r.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		if err := w.Run(ctx); err != nil {
			r.Error(err)
		}
		if calls := r.far.Calls(); len(calls) != 0 {
			r.Errorf("%s was sent although its source is paused", id)
		}
	})
}

// Run ends at the deadline of its context as it does when that is cancelled.
func TestRun_EndsAtTheDeadlineOfItsContext(t *testing.T) {
	inBubble(t, func(r *rig) {
		w, err := worker.New(r.js, r.far, worker.Config{Sources: []worker.Source{{Name: source}}})
		if err != nil {
			r.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		if err := w.Run(ctx); err != nil {
			r.Error(err)
		}
		if took := time.Since(began); took < time.Hour || took > time.Hour+time.Minute {
			r.Errorf("Run ended after %v, want an hour", took)
		}
	})
}

// swallowing reaches the rig's server by way of a relay that passes on all requests to the
// API but the first n of each that begins so.
func swallowing(r *rig, begins string, n int) jetstream.JetStream {
	r.Helper()
	const prefix = "RELAY.API"
	conn := r.js.Conn()
	var mu sync.Mutex
	asked := make(map[string]int)
	if _, err := conn.Subscribe(prefix+".>", func(m *nats.Msg) {
		api := strings.TrimPrefix(m.Subject, prefix)
		mu.Lock()
		asked[api]++
		swallowed := strings.HasPrefix(api, begins) && asked[api] <= n
		mu.Unlock()
		if !swallowed {
			_ = conn.PublishMsg(&nats.Msg{Subject: strings.Replace("$JS.API"+api, "$JS.API.$KV.", "$KV.", 1), Reply: m.Reply, Header: m.Header, Data: m.Data})
		}
	}); err != nil {
		r.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(conn, prefix)
	if err != nil {
		r.Fatal(err)
	}
	return js
}
