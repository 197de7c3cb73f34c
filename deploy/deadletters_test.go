package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// deadLetters with the rights of a user.
func (f *floor) deadLetters(t *testing.T, user string) *dlq.Store {
	t.Helper()
	d, err := dlq.New(stream(t, connect(t, f.srv, user)), dlq.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The operator reads dead letters of every lane, sends them again and discards them, bodies
// in the object store included, with exactly the rights of accounts.conf.
func TestFloor_OperatorReplaysAndDiscards(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	p := f.publisher(t, clinicA)
	for _, m := range []outbox.Message{{ID: "bad-send"}, {ID: "bad-ordered", OrderKey: "patient"}} {
		m.Source, m.Lane, m.Body = clinicA, contract.LaneSend, []byte(`{"refuse":1}`)
		if m.OrderKey != "" {
			m.Lane = contract.LaneOrdered
		}
		ask(t, p, m)
	}
	plain := nats.NewMsg("redox.out.clinic-a.send." + strings.Repeat("a", 32)) // without the header
	plain.Header.Set(contract.HeaderID, "bad-plain")
	plain.Data = []byte(`{"refuse":1}`)
	if err := connect(t, f.srv, clinicA).PublishMsg(plain); err != nil {
		t.Fatal(err)
	}
	eventually(t, "three dead letters", func() bool { return messages(t, f.op, "REDOX_DLQ") == 3 })

	d := f.deadLetters(t, operator)
	replayed := f.handle(t, d, dlq.Query{}, false)
	if want := []string{"bad-ordered:r1", "bad-plain:r1", "bad-send:r1"}; !slices.Equal(replayed, want) {
		t.Errorf("replayed %v, want %v", replayed, want)
	}
	eventually(t, "they fail again", func() bool { return messages(t, f.op, "REDOX_DLQ") == 3 })
	f.drained(t)
	for _, id := range replayed {
		if f.deliveries(id) != 1 {
			t.Errorf("%s: %d deliveries", id, f.deliveries(id))
		}
	}
	if letters, err := d.Get(t.Context(), "clinic-a", "bad-plain:r1"); err != nil || !bytes.Equal(letters[0].Body, plain.Data) {
		t.Errorf("%+v, %v", letters, err)
	}
	worker := stream(t, connect(t, f.srv, workerUser))
	if err := outbox.NewBodies(worker, "").Put(t.Context(), "clinic-a/dlq-x", []byte("body")); err != nil {
		t.Fatal(err)
	}
	claim := dlq.Letter{MessageID: "claim", Source: clinicA, Settlement: outbox.Held, At: time.Now(), Subject: "redox.out.clinic-a.send",
		Header: nats.Header{contract.HeaderBodyObject: {"clinic-a/dlq-x"}}}
	if _, err := worker.PublishMsg(t.Context(), claim.Encode("")); err != nil {
		t.Fatal(err)
	}
	if n := len(f.handle(t, d, dlq.Query{}, true)); n != 4 {
		t.Errorf("%d discarded", n)
	}
	if n := messages(t, f.op, "REDOX_DLQ") + messages(t, f.op, "OBJ_REDOX_BODIES"); n != 0 {
		t.Errorf("%d dead letters and parts of bodies are left", n)
	}
}

// handle replays or discards what a query selects; it answers the ids of the replays, or of
// the messages discarded, sorted.
func (f *floor) handle(t *testing.T, d *dlq.Store, q dlq.Query, discard bool) []string {
	t.Helper()
	s, err := d.Select(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	run := d.Replay(t.Context(), s, dlq.ReplayOptions{})
	if discard {
		run = d.Discard(t.Context(), s, dlq.DiscardOptions{})
	}
	var ids []string
	for h, err := range run {
		if err != nil || !h.Outcome.Removed() {
			t.Fatalf("%+v, %v", h, err)
		}
		ids = append(ids, max(h.ReplayID, h.MessageID))
	}
	slices.Sort(ids)
	return ids
}

// Neither the worker nor a publisher can read or remove dead letters.
func TestFloor_OthersHaveNoDeadLetters(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	for _, user := range []string{workerUser, clinicA, gatewayClient} {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if _, err := f.deadLetters(t, user).Select(ctx, dlq.Query{}); !errors.Is(err, outbox.ErrPermission) && !errors.Is(err, nats.ErrNoResponders) {
				t.Errorf("error %v", err)
			}
		})
	}
}
