package overview_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/workertest"
)

const prefix = contract.Prefix("")

// rig is a provisioned JetStream in fake time, and a gatherer.
type rig struct {
	*testing.T
	js       jetstream.JetStream
	gatherer *overview.Gatherer
	stops    []func()
	messages int
}

func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		r := &rig{T: t, js: js}
		_, err := topology.Topology{}.Ensure(t.Context(), js)
		r.must(err)
		r.gatherer, err = overview.New(js, overview.Config{})
		r.must(err)
		defer r.stopAll()
		f(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) stopAll() {
	for _, stop := range r.stops {
		stop()
	}
	r.stops = nil
}

// announce has a worker answer that says of itself what report says.
func (r *rig) announce(report overview.Worker, serves map[string][]string) (stop func()) {
	r.Helper()
	return r.announceAll(func() overview.Worker { return report }, func() map[string][]string { return serves })
}

func (r *rig) announceAll(report func() overview.Worker, serves func() map[string][]string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- overview.Announce(ctx, r.js.Conn(), overview.Announcement{Version: "v1.2.3", Report: report, Serves: serves})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	})
	r.stops = append(r.stops, stop)
	synctest.Wait()
	return stop
}

// store puts messages into the queue under a subject.
func (r *rig) store(subject string, n int) {
	r.Helper()
	for range n {
		r.messages++
		_, err := r.js.Publish(r.Context(), subject, []byte(`{"secret":"body"}`), jetstream.WithMsgID("m-"+strconv.Itoa(r.messages)))
		r.must(err)
	}
}

// gather looks once, and everything must be known.
func (r *rig) gather() overview.Overview {
	r.Helper()
	o := r.gatherer.Gather(r.Context())
	if len(o.Unknown) > 0 {
		r.Errorf("not known: %q", o.Unknown)
	}
	return o
}

// backlog of an overview.
func backlog(t testing.TB, o overview.Overview, source string, lane contract.Lane) overview.Backlog {
	t.Helper()
	for _, b := range o.Backlogs {
		if b.Source == source && b.Lane == lane {
			return b
		}
	}
	t.Errorf("no backlog %s %s in %+v", source, lane, o.Backlogs)
	return overview.Backlog{}
}

// needs reports whether something is needed, with a text that holds all the parts.
func person(o overview.Overview) (texts []string) {
	for _, n := range o.Needs {
		if n.Person {
			texts = append(texts, n.Text)
		}
	}
	return texts
}

// pausing is a worker that has paused a scope by itself.
func pausing(scope string) overview.Worker {
	return overview.Worker{ID: "w-1", Ready: true, Status: worker.Status{Sources: 2, Pauses: []worker.Paused{{
		Scope: scope, Left: 3 * time.Second, Since: time.Now(), Reason: "unauthorized: status 401", Failures: 2}}}}
}

var ready = overview.Worker{ID: "w-1", Ready: true}

func token(n int) string {
	text := "0123456789abcdef0123456789abcdef" + strconv.Itoa(n)
	return text[len(text)-32:]
}
