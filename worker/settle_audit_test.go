package worker_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
)

func TestAuditStream_StoresEachEntryOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		if _, err := (topology.Topology{Audit: true, AuditMaxAge: 24 * time.Hour}).Ensure(r.Context(), r.js); err != nil {
			t.Fatal(err)
		}
		stream := audit.NewStream(r.js, "")
		r.start(worker.Config{Audit: stream.Append})
		id := r.publish(outbox.Message{})
		r.awaitSettled(id)
		trail, err := r.js.Stream(r.Context(), "REDOX_AUDIT")
		if err != nil {
			t.Fatal(err)
		}
		msg, err := trail.GetLastMsgForSubject(r.Context(), "redox.audit."+source)
		if err != nil {
			t.Fatal(err)
		}
		var e audit.Entry
		if err := json.Unmarshal(msg.Data, &e); err != nil || e.Message != id || e.Settlement != outbox.Delivered {
			t.Errorf("entry %+v, %v", e, err)
		}
		if err := stream.Append(r.Context(), e); err != nil { // again, as after a crash
			t.Fatal(err)
		}
		if n := r.stored("REDOX_AUDIT"); n != 1 {
			t.Errorf("%d entries, want 1", n)
		}
		another, other := e, e
		another.Settlement = outbox.Expired          // decided after a crash before the ack
		other.Stored = e.Stored.Add(5 * time.Minute) // of its name and sequence, in a queue that was made anew
		for _, e := range []audit.Entry{another, other} {
			if err := stream.Append(r.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if n := r.stored("REDOX_AUDIT"); n != 3 {
			t.Errorf("%d entries, want 3: one took another's place", n)
		}
	})
}
