package deploy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/outbox/uploads"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// Everything the two sources may do works, with exactly the rights of accounts.conf.
func TestFloor_TwoSources(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	for _, source := range []string{clinicA, clinicB} {
		t.Run(source, func(t *testing.T) {
			p := f.publisher(t, source)
			durable := "redox.reply." + source + ".one.two"
			for name, m := range map[string]outbox.Message{
				"send-inbox":      {Lane: contract.LaneSend, Body: []byte(`{}`)},
				"request-inbox":   {Body: []byte(`{}`)},
				"request-stored":  {Body: []byte(`{}`), ReplyTo: durable},
				"ordered":         {Lane: contract.LaneSend, OrderKey: "patient 1", Body: []byte(`{}`)},
				"retried":         {Lane: contract.LaneSend, Body: []byte(`{"flaky":1}`)},
				"retried-ordered": {Lane: contract.LaneSend, OrderKey: "patient 2", Body: []byte(`{"flaky":1}`)},
			} {
				m.Source, m.ID = source, source+"-"+name
				if got := ask(t, p, m); got.Settlement != outbox.Delivered || string(got.Body) != `{"to":"`+source+`","id":"`+m.ID+`"}` {
					t.Errorf("%s: %s %s %s", name, got.Settlement, got.Body, got.Error)
				}
				if n := f.deliveries(m.ID); n != 1 && !bytes.Contains(m.Body, []byte("flaky")) || n > 2 {
					t.Errorf("%s: %d deliveries", name, n)
				}
			}
			if again, err := p.Await(t.Context(), durable); err != nil || again.MessageID != source+"-request-stored" {
				t.Errorf("reading the stored reply again: %+v, %v", again, err)
			}
			if got := ask(t, p, outbox.Message{Source: source, Lane: contract.LaneSend, Body: []byte(`{"refuse":1}`)}); got.Settlement != outbox.Rejected {
				t.Errorf("refused by the far side: %s", got.Settlement)
			}
		})
	}
	f.drained(t)
	if n := messages(t, f.op, "REDOX_DLQ"); n != 2 {
		t.Errorf("%d dead letters, want one of each source", n)
	}
}

// ask sends and waits for the reply.
func ask(t *testing.T, p *outbox.Publisher, m outbox.Message) outbox.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	reply, err := p.Request(ctx, m)
	if err != nil {
		t.Fatalf("%s: %v", m.ID, err)
	}
	return reply
}

// A client of the gateway needs neither JetStream nor headers.
func TestFloor_Gateway(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	nc := connect(t, f.srv, gatewayClient)
	msg, err := nc.Request("redox.gateway.clinic-a.request", []byte(`{}`), 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := outbox.DecodeReply(msg)
	if err != nil || reply.Settlement != outbox.Delivered {
		t.Errorf("request: %+v, %v", reply, err)
	}
	ordered := nats.NewMsg("redox.gateway.clinic-a.send")
	ordered.Header.Set(contract.HeaderOrderKey, "patient")
	for _, send := range []*nats.Msg{nats.NewMsg(ordered.Subject), ordered} {
		msg, err := nc.RequestMsg(send, 2*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var receipt outbox.Receipt
		if err := json.Unmarshal(msg.Data, &receipt); err != nil || receipt.Stream != "REDOX_OUT" {
			t.Errorf("send: %s, %v", msg.Data, err)
		}
	}
	f.drained(t)
}

// The worker's other rights: what all workers share, and large bodies.
func TestFloor_WorkerStores(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	js := stream(t, connect(t, f.srv, workerUser))
	for _, bucket := range []string{"REDOX_STATE", "REDOX_LEDGER"} {
		kv, err := js.KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		revision, err := kv.Create(t.Context(), "k.1", []byte("1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Update(t.Context(), "k.1", []byte("2"), revision); err != nil {
			t.Error(err)
		}
		if entry, err := kv.Get(t.Context(), "k.1"); err != nil || string(entry.Value()) != "2" {
			t.Errorf("%s: %v, %v", bucket, entry, err)
		}
		if err := kv.Delete(t.Context(), "k.1"); err != nil {
			t.Error(err)
		}
	}
	bodies := outbox.NewBodies(js, "")
	for _, body := range [][]byte{bytes.Repeat([]byte("a"), 300<<10), []byte("b")} { // the second replaces the first
		if err := bodies.Put(t.Context(), "clinic-a/x", body); err != nil {
			t.Fatal(err)
		}
		if got, err := bodies.Get(t.Context(), "clinic-a/x", -1); err != nil || !bytes.Equal(got, body) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
	if err := bodies.Delete(t.Context(), "clinic-a/x"); err != nil {
		t.Error(err)
	}
}

// The worker's user follows Redox's logs, and publishes what became of them.
func TestFloor_WorkerReconciles(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	js := provision(t, srv, topology.Topology{Reconcile: time.Hour})
	look := func(_ context.Context, id string) (platform.Log, error) {
		return platform.Log{ID: id, Status: platform.Failed}, nil
	}
	r, err := reconcile.New(stream(t, connect(t, srv, workerUser)), look, reconcile.Config{Interval: time.Millisecond, GiveUp: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	defer running.Wait()
	defer cancel()
	r.Follow(reconcile.Delivered{Source: clinicA, Message: "m", LogIDs: []string{"l"}})
	eventually(t, "an event", func() bool { return messages(t, js, "REDOX_EVENTS") == 1 && messages(t, js, "REDOX_RECONCILE") == 0 })
	uploads := uploads.New(stream(t, connect(t, srv, workerUser)), "", time.Hour)
	if err := uploads.Keep(t.Context(), clinicA, "f", "https://blob.example/1"); err != nil {
		t.Error(err)
	}
	if uri, err := uploads.Uploaded(t.Context(), clinicA, "f"); err != nil || uri != "https://blob.example/1" {
		t.Errorf("%q, %v", uri, err)
	}
}

// The operator adds and removes sources, which leaves an entry in the audit trail; the worker's
// user sees them and may change none.
func TestFloor_RegistryOfSources(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	js := provision(t, srv, topology.Topology{Registry: true})
	operating := stream(t, connect(t, srv, operator))
	record, err := audit.NewRecorder(audit.NewStream(operating, "").Deed, "operator@host")
	if err != nil {
		t.Fatal(err)
	}
	admin := registry.New(operating, registry.Options{Audit: record})
	reader := registry.New(stream(t, connect(t, srv, workerUser)), registry.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	snapshots := make(chan registry.Snapshot, 16)
	var watching sync.WaitGroup
	watching.Go(func() { reader.Watch(ctx, func(s registry.Snapshot) { snapshots <- s }) })
	defer watching.Wait()
	defer cancel()
	await := func(n int) {
		t.Helper()
		for {
			select {
			case s := <-snapshots:
				if s.Err != nil {
					t.Fatal(s.Err)
				}
				if len(s.Parts) == n {
					return
				}
			case <-ctx.Done():
				t.Fatalf("the worker does not see %d sources", n)
			}
		}
	}
	await(0)
	source := config.Source{ID: "7ce6f387-c33c-417d-8682-81e83628cbd9", Key: "main", Environment: "development", OnUnknown: "resend"}
	entry, err := admin.Put(ctx, clinicA, source, 0)
	if err != nil {
		t.Fatal(err)
	}
	await(1)
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	if _, err := reader.Put(short, clinicB, source, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the worker's user adds a source: %v", err)
	}
	if err := admin.Delete(ctx, clinicA, entry.Revision); err != nil {
		t.Fatal(err)
	}
	await(0)
	if n := messages(t, js, "REDOX_AUDIT"); n != 4 {
		t.Errorf("%d entries in the audit trail", n)
	}
}

// An answer over max_payload goes through the object store. A publisher may not read
// it there, and is told so; the operator may.
func TestFloor_LargeAnswer(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	p := f.publisher(t, clinicA)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	reply, err := p.Request(ctx, outbox.Message{Source: clinicA, Body: []byte(`{"large":1}`)})
	if !errors.Is(err, outbox.ErrPermission) || reply.BodyObject == "" || reply.Settlement != outbox.Delivered {
		t.Fatalf("%s, object %q, %v; want delivered and %v", reply.Settlement, reply.BodyObject, err, outbox.ErrPermission)
	}
	body, err := outbox.NewBodies(f.op, "").Get(t.Context(), reply.BodyObject, -1)
	if err != nil || len(body) < 8<<20 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}
