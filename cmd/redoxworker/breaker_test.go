package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// Redox answers 503 for a while: its host's breaker opens and says so, few requests are
// made meanwhile, and soon after all is delivered.
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
	breaker := func() (state string) {
		response, err := http.Get("http://" + s.admin + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var body struct {
			Ready  bool
			Worker struct{ Breakers map[string]string }
		}
		if err := json.NewDecoder(response.Body).Decode(&body); err != nil || !body.Ready {
			t.Fatalf("ready %v, %v", body.Ready, err)
		}
		for host, s := range body.Worker.Breakers {
			if strings.HasPrefix(host, "host:127.0.0.1:") {
				state = s
			}
		}
		return state
	}
	s.eventually("the breaker opens", func() bool { return breaker() == "open" })
	<-time.After(5 * time.Second)
	if n := len(s.messages()); n > 40 {
		t.Errorf("%d requests while Redox was down", n)
	}
	up.Store(true)
	back := time.Now()
	s.eventually("delivered", func() bool { return s.queued("REDOX_OUT") == 0 })
	t.Logf("%d requests while it was down; all delivered %v after it was back", len(s.messages())-200, time.Since(back).Round(time.Millisecond))
	if got := breaker(); got != "closed" {
		t.Errorf("the breaker is %s at the end", got)
	}
}
