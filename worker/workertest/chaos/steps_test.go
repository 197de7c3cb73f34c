package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// step is a worker killed once at one fail point of the way of one message.
type step struct {
	point    string
	requests int               // for the message, in all
	settles  outbox.Settlement // "" is delivered
	replies  outbox.Settlement // "" is as settled
}

// A worker is killed between every pair of steps of a delivery. The next one repeats what
// has to be: nothing is lost, one dead letter, one reply, and a second request only where
// the first may not have been heard of.
func TestSteps_KilledBetween(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name    string
		message Sending
		steps   []step
	}{
		{"delivered", Sending{Reply: true}, []step{
			{point: "receive", requests: 1}, {point: "send", requests: 1}, {point: "answer", requests: 2}, {point: "order", requests: 2},
			{point: "reply", requests: 2}, {point: "audit", requests: 2}, {point: "ack", requests: 2}, {point: "acked", requests: 1},
		}},
		{"ordered", Sending{Key: "patient"}, []step{
			{point: "receive", requests: 1}, {point: "answer", requests: 2}, {point: "ack", requests: 2}, {point: "acked", requests: 1},
		}},
		{"request", Sending{Lane: contract.LaneRequest, Reply: true}, []step{{point: "answer", requests: 2}, {point: "reply", requests: 2}}},
		{"rejected", Sending{Reply: true, Faults: always("400"), Dies: outbox.Rejected}, []step{
			{point: "answer", requests: 2, settles: outbox.Rejected}, {point: "order", requests: 2, settles: outbox.Rejected},
			{point: "dead-letter", requests: 2, settles: outbox.Rejected}, {point: "reply", requests: 2, settles: outbox.Rejected},
			{point: "ack", requests: 2, settles: outbox.Rejected}, {point: "acked", requests: 1, settles: outbox.Rejected},
		}},
		{"retried", Sending{Reply: true, Faults: "503"}, []step{
			{point: "answer", requests: 2}, {point: "note", requests: 2}, {point: "intent", requests: 2},
		}},
		{"held", Sending{Reply: true, Hold: true}, []step{
			{point: "receive", requests: 1}, {point: "intent", requests: 0, settles: outbox.Held}, {point: "send", requests: 0, settles: outbox.Held},
			{point: "answer", requests: 1, settles: outbox.Held}, {point: "reply", requests: 1, settles: outbox.Held, replies: outbox.Delivered},
			{point: "ack", requests: 1}, {point: "acked", requests: 1},
		}},
		{"held after 503", Sending{Reply: true, Hold: true, Faults: "503"}, []step{
			{point: "answer", requests: 1, settles: outbox.Held}, {point: "note", requests: 2},
		}},
	} {
		for _, s := range way.steps {
			t.Run(way.name+"/"+s.point, func(t *testing.T) {
				t.Parallel()
				killedAt(t, way.message, s)
			})
		}
	}
}

func killedAt(t *testing.T, m Sending, s step) {
	b := bench(t, Config{Far: &redoxsim.Server{}, Failpoints: true, Workers: 1, AckWait: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, b.Start(0, "WORKER_FAILPOINT="+s.point))
	m.ID = "first"
	must(t, b.Publish(ctx, m))
	must(t, b.Died(0))
	next := m
	next.ID, next.Faults, next.Dies = "second", "", ""
	must(t, b.Publish(ctx, next)) // it must not overtake the first where there is an order
	must(t, b.Start(0))
	must(t, b.Drained(ctx, 2*time.Minute))
	must(t, b.StopAll())
	r := verify(t, b, ctx)
	if n := len(requestsOf(r, m.ID)); n != s.requests {
		t.Errorf("%d requests, want %d", n, s.requests)
	}
	if s.settles == "" {
		s.settles = outbox.Delivered
	}
	if s.replies == "" {
		s.replies = s.settles
	}
	if got := settledAs(r, m.ID); got != s.settles {
		t.Errorf("settled %s, want %s", got, s.settles)
	}
	for _, p := range r.Replies {
		if p.MessageID == m.ID && p.Settlement != s.replies {
			t.Errorf("reply says %s, want %s", p.Settlement, s.replies)
		}
	}
	if t.Failed() {
		t.Log(b.Logs(1500))
	}
}

func requestsOf(r Record, id string) (list []Request) {
	for _, q := range r.Requests {
		if q.ID == id {
			list = append(list, q)
		}
	}
	return list
}

func settledAs(r Record, id string) outbox.Settlement {
	for _, d := range r.Dead {
		if d.MessageID == id {
			return d.Settlement
		}
	}
	return outbox.Delivered
}

// A worker is stopped just before it sends, for longer than the ack wait. When it goes on,
// another has sent the message, and it does not.
func TestSteps_StoppedBeforeSending(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "patient"} {
		t.Run(fmt.Sprintf("key=%q", key), func(t *testing.T) {
			t.Parallel()
			b := bench(t, Config{Failpoints: true, Workers: 2, AckWait: time.Second})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			must(t, b.Start(0, "WORKER_FAILPOINT=send:1:stop"))
			must(t, b.Publish(ctx, Sending{ID: "m", Key: key}))
			must(t, b.Stopped(0))
			must(t, b.Start(1))
			must(t, b.Drained(ctx, 2*time.Minute))
			must(t, b.Continue(0))
			must(t, b.Publish(ctx, Sending{ID: "n", Key: key}))
			must(t, b.Drained(ctx, 2*time.Minute))
			must(t, b.StopAll())
			r := verify(t, b, ctx)
			if list := requestsOf(r, "m"); len(list) != 1 || list[0].Worker != "worker-2" {
				t.Errorf("requests: %v", list)
			}
			if !b.workers[0].said("another worker may have the message") {
				t.Error("the worker that was stopped does not say that it left the message alone")
			}
		})
	}
}
