package worker_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker"
)

// A worker whose clock was wrong says that NATS was restarted years from now: nobody waits
// for that.
func TestRestarts_ANoteOfTheFutureHoldsNothingUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		note, err := json.Marshal(map[string]any{"server": r.js.Conn().ConnectedServerId(), "since": time.Now().AddDate(5, 0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		kv, err := r.js.KeyValue(r.Context(), "REDOX_STATE")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(r.Context(), "server", note); err != nil {
			t.Fatal(err)
		}
		r.start(worker.Config{})
		r.ordered("m", "patient")
		start := time.Now()
		r.awaitSettled("m")
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}
