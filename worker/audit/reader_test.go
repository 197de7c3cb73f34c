package audit_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What is written while somebody follows comes at once, what was before does not, the end is no error,
// and nobody is asked anything while nothing is written.
func TestReader_Follows(t *testing.T) {
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
			t.Fatal(err)
		}
		record, err := audit.NewRecorder(audit.NewStream(js, "").Deed, "ann@ops")
		if err != nil {
			t.Fatal(err)
		}
		do := func(action audit.Action, source string) {
			t.Helper()
			if _, err := record.Begin(t.Context(), audit.Deed{Action: action, Source: source}); err != nil {
				t.Error(err)
			}
		}
		do(audit.Pause, "clinic-a") // number 1
		do(audit.Hold, "clinic-a")
		var seen []string
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for r, err := range audit.NewReader(js, "").List(ctx, audit.Query{Source: "clinic-a", After: 1, Follow: true}) {
				if err != nil {
					t.Error(err)
					return
				}
				seen = append(seen, fmt.Sprint(r.Deed.Action, " ", time.Since(r.Stored) < time.Second))
			}
		}()
		bubble.Sleep(time.Second)
		before := js.Conn().Stats().OutMsgs
		bubble.Sleep(time.Minute)
		if n := js.Conn().Stats().OutMsgs - before; n > 15 { // a pull lasts 5 s
			t.Errorf("%d requests in a minute without entries", n)
		}
		do(audit.Resume, "clinic-b")
		do(audit.Resume, "") // of all sources: also of this one
		bubble.Sleep(time.Minute)
		do(audit.Release, "clinic-a")
		bubble.Sleep(time.Second)
		end()
		<-ended
		if want := []string{"hold true", "resume true", "release true"}; !slices.Equal(seen, want) {
			t.Errorf("%q, want %q", seen, want)
		}
	})
}
