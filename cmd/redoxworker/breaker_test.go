package main

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// Redox answers 503 for a while: a breaker opens, that of the source, as no other has traffic, and
// says so; few requests are made meanwhile, and soon after all is delivered.
func TestBreaker_EndToEnd(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	sim := &redoxsim.Server{}
	sim.Fault = func(r redoxsim.Request) *redoxsim.Fault {
		if up.Load() || r.Path != redoxsim.PathEndpoint {
			return nil
		}
		return &redoxsim.Fault{Status: http.StatusServiceUnavailable}
	}
	s := newStage(t, sim, "worker: {concurrency: 8, retry: {initial: 100ms, max: 500ms}}")
	s.run()
	s.backlog(200)
	paused := func() (scopes []string) {
		status, body := s.readyz()
		if status != http.StatusOK {
			t.Fatalf("/readyz: %d %+v", status, body)
		}
		for _, p := range body.Worker.Pauses {
			scopes = append(scopes, p.Scope)
		}
		return scopes
	}
	s.eventually("the breaker opens", func() bool { return slices.Equal(paused(), []string{"source:clinic-a"}) })
	<-time.After(5 * time.Second)
	if n := len(s.messages()); n > 40 {
		t.Errorf("%d requests while Redox was down", n)
	}
	up.Store(true)
	back := time.Now()
	s.eventually("delivered", func() bool { return s.queued("REDOX_OUT") == 0 })
	t.Logf("%d requests while it was down; all delivered %v after it was back", len(s.messages())-200, time.Since(back).Round(time.Millisecond))
	if got := paused(); len(got) != 0 {
		t.Errorf("%v are paused at the end", got)
	}
}
