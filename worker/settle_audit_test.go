package worker_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestAuditStream_StoresEachEntryOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		if _, err := (topology.Topology{AuditMaxAge: 24 * time.Hour}).Ensure(r.Context(), r.js); err != nil {
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

// The audit trail is part of the settlement: while it fails the message stays.
func TestGuarantee_NoSettlementWithoutItsAuditEntry(t *testing.T) {
	inBubble(t, func(r *rig) {
		var room atomic.Bool
		var entries []audit.Entry
		subject, replies := r.inbox()
		r.start(worker.Config{ID: "me", Audit: func(_ context.Context, e audit.Entry) error {
			if !room.Load() {
				return errFar
			}
			entries = append(entries, e)
			return nil
		}})
		r.rejecting(func(string) bool { return true })
		id := r.publish(outbox.Message{ReplyTo: subject})
		bubble.Sleep(time.Minute)
		if n := r.stored("REDOX_OUT"); n != 1 {
			t.Errorf("%d messages in the queue while the audit trail fails, want the one", n)
		}
		room.Store(true)
		r.awaitSettled(id)
		if len(entries) != 1 {
			t.Fatalf("%d entries, want 1", len(entries))
		}
		e := entries[0]
		if e.Worker != "me" || e.Settlement != outbox.Rejected || e.Status != 400 || !e.DeadLetter || !e.Answered || e.Attempts != 1 || e.AgeSeconds < 60 {
			t.Errorf("entry %+v", e)
		}
		if n := len(r.far.Calls()); n != 1 {
			t.Errorf("sent %d times while the audit trail failed, want once", n)
		}
		if n := len(replies()); n == 0 {
			t.Error("no reply")
		}
	})
}
