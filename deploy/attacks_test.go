package deploy_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// targets are reply subjects with which somebody could make the server, the gateway or
// the worker write where he may not.
var targets = []string{
	"redox.out.clinic-b.send", "redox.out.clinic-b.request", "redox.dlq.clinic-b.held.x", "redox.reply.clinic-b.x",
	"redox.wake.clinic-b.send", "redox.turn.clinic-b", "_INBOX_clinic-b.spam", "_INBOX_operator.spam", "_INBOX_worker.spam",
	"$KV.REDOX_STATE.x", "$KV.REDOX_LEDGER.x", "$O.REDOX_BODIES.C.x",
	"$JS.API.STREAM.PURGE.REDOX_OUT", "$JS.API.STREAM.PURGE.OBJ_REDOX_BODIES", "$JS.API.STREAM.DELETE.REDOX_DLQ",
	"$JS.API.CONSUMER.CREATE.REDOX_OUT.thief", "$JS.API.CONSUMER.DELETE.REDOX_OUT.clinic-b-send", "$JS.ACK.REDOX_OUT.clinic-b-send.1.1.1.1.0",
}

// victim is a deployment without a worker, in which clinic-b has something to lose.
type victim struct {
	op    jetstream.JetStream
	inbox *nats.Subscription // of clinic-b
	was   map[string]jetstream.StreamState
}

func newVictim(t *testing.T, f *floor) *victim {
	t.Helper()
	v := &victim{op: f.op}
	for _, subject := range []string{"redox.out.clinic-b.send", "redox.reply.clinic-b.id", "redox.reply.clinic-a.id", "redox.dlq.clinic-b.held.y"} {
		if _, err := stream(t, connect(t, f.srv, workerUser)).Publish(t.Context(), subject, []byte("of "+subject)); err != nil {
			t.Fatal(err)
		}
	}
	worker := stream(t, connect(t, f.srv, workerUser))
	if err := outbox.NewBodies(worker, "").Put(t.Context(), "clinic-b/secret", []byte("clinic-b's")); err != nil {
		t.Fatal(err)
	}
	consumer, err := worker.CreateConsumer(t.Context(), "REDOX_OUT", jetstream.ConsumerConfig{
		Durable: "clinic-b-send", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"redox.out.clinic-b.send", "redox.out.clinic-b.send.>"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Next(); err != nil { // in flight: to be acknowledged by nobody else
		t.Fatal(err)
	}
	sub, err := connect(t, f.srv, clinicB).SubscribeSync("_INBOX_clinic-b.>")
	if err != nil {
		t.Fatal(err)
	}
	v.inbox = sub
	v.was = v.states(t)
	return v
}

// states of all streams, by name.
func (v *victim) states(t *testing.T) map[string]jetstream.StreamState {
	t.Helper()
	all := map[string]jetstream.StreamState{}
	list := v.op.ListStreams(t.Context())
	for info := range list.Info() {
		all[info.Config.Name] = info.State
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// unharmed checks that the streams hold what they held, clinic-a's own new messages
// apart, and that clinic-b heard nothing. It answers how many of those there are.
func (v *victim) unharmed(t *testing.T) (own uint64) {
	t.Helper()
	now := v.states(t)
	if len(now) != len(v.was) {
		t.Errorf("%d streams, were %d", len(now), len(v.was))
	}
	own = now["REDOX_OUT"].LastSeq - v.was["REDOX_OUT"].LastSeq
	for name, was := range v.was {
		want := was.Msgs
		if name == "REDOX_OUT" {
			want += own
		}
		if now[name].Msgs != want || now[name].FirstSeq != was.FirstSeq || now[name].Consumers != was.Consumers {
			t.Errorf("%s: %d messages from %d, %d consumers; want %d from %d, %d", name, now[name].Msgs, now[name].FirstSeq,
				now[name].Consumers, want, was.FirstSeq, was.Consumers)
		}
	}
	if n := queued(t, v.op, "redox.out.clinic-b.>"); n != 1 {
		t.Errorf("%d messages in clinic-b's queue, want its own one", n)
	}
	if msg, err := v.inbox.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("clinic-b received %s", msg.Subject)
	}
	return own
}

func queued(t *testing.T, js jetstream.JetStream, filter string) (n uint64) {
	t.Helper()
	s, err := js.Stream(t.Context(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		t.Fatal(err)
	}
	for _, count := range info.State.Subjects {
		n += count
	}
	return n
}

// newStore is a floor whose worker and gateway do not run.
func newStore(t *testing.T) *floor {
	t.Helper()
	f := &floor{srv: startSingle(t)}
	f.op = provision(t, f.srv, topology.Topology{})
	return f
}

// JetStream answers a publisher wherever he says. Between accounts that goes nowhere.
func TestAttack_ReplySubjectOfAPublish(t *testing.T) {
	t.Parallel()
	f := newStore(t)
	v := newVictim(t, f)
	a := connect(t, f.srv, clinicA)
	direct := "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-a.id"
	for _, target := range targets {
		for _, subject := range []string{"redox.out.clinic-a.send", direct} {
			if err := a.PublishRequest(subject, target, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A confirmed write of the same connection comes after all of them.
	if _, err := stream(t, a).Publish(t.Context(), "redox.out.clinic-a.send", nil); err != nil {
		t.Fatal(err)
	}
	if own := v.unharmed(t); own < uint64(len(targets)) { // but for $JS.ACK: the server drops that one
		t.Errorf("%d of clinic-a's messages were stored, want %d", own, len(targets))
	}
}

// The gateway answers with the worker's rights.
func TestAttack_ReplySubjectOfAGatewayRequest(t *testing.T) {
	t.Parallel()
	f := newStore(t)
	v := newVictim(t, f)
	f.conf = loadSample(t, nil)
	g, err := gateway.New(connect(t, f.srv, workerUser), stream(t, connect(t, f.srv, workerUser)),
		gateway.Config{Sources: []string{clinicA, clinicB}, ReplyAllow: f.conf.Reply.Allow})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	client := connect(t, f.srv, gatewayClient)
	eventually(t, "gateway ready", func() bool {
		_, err := client.Request("redox.gateway.clinic-a.send", []byte("ok"), time.Second)
		return err == nil
	})
	for _, target := range targets {
		if target == "_INBOX_clinic-b.spam" {
			continue // a receipt may go to an inbox that the caller cannot know
		}
		for _, subject := range []string{"redox.gateway.clinic-a.send", "redox.gateway.clinic-a.request"} {
			good, bad := &nats.Msg{Subject: subject, Reply: target}, &nats.Msg{Subject: subject, Reply: target, Header: nats.Header{contract.HeaderPath: {"/../x"}}}
			for _, msg := range []*nats.Msg{good, bad} {
				if err := client.PublishMsg(msg); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := client.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Request("redox.gateway.clinic-a.send", []byte("last"), 2*time.Minute); err != nil {
		t.Fatal(err)
	}
	cancel() // every request that it took is answered when Run returns
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	v.unharmed(t)
}

// The reply subject in the header is the worker's to judge, with redoxworker.yaml.
func TestAttack_ReplyToHeader(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	b, err := connect(t, f.srv, clinicB).SubscribeSync("_INBOX_clinic-b.>")
	if err != nil {
		t.Fatal(err)
	}
	a := stream(t, connect(t, f.srv, clinicA))
	for _, target := range append(targets, "redox.out.clinic-a.send", "_INBOX.x", "$JS.API.INFO", "redox.reply.clinic-a", "_INBOX_clinic-a.*") {
		msg := &nats.Msg{Subject: "redox.out.clinic-a.send", Data: []byte(`{}`), Header: nats.Header{contract.HeaderReplyTo: {target}, contract.HeaderID: {outbox.NewID()}}}
		if _, err := a.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	f.drained(t)
	dead, err := f.op.Stream(t.Context(), "REDOX_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	info, err := dead.Info(t.Context(), jetstream.WithSubjectFilter("redox.dlq.clinic-a.poison.*"))
	if err != nil || len(info.State.Subjects) != len(targets)+5 {
		t.Errorf("%d of %d settled poison, %v", len(info.State.Subjects), len(targets)+5, err)
	}
	if msg, err := b.NextMsg(50 * time.Millisecond); err == nil {
		t.Errorf("clinic-b received %s", msg.Subject)
	}
	if len(f.sent) != 0 {
		t.Errorf("%d messages were sent", len(f.sent))
	}
}

// A claim check names an object: not that of another source.
func TestAttack_AnothersBody(t *testing.T) {
	t.Parallel()
	f := newFloor(t)
	if err := outbox.NewBodies(f.op, "").Put(t.Context(), "clinic-b/secret", []byte(`{"secret":1}`)); err != nil {
		t.Fatal(err)
	}
	nc := connect(t, f.srv, clinicA)
	replies, err := nc.SubscribeSync("_INBOX_clinic-a.answer")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clinic-b/secret", "clinic-a/../clinic-b/secret", "secret"} {
		msg := &nats.Msg{Subject: "redox.out.clinic-a.request", Header: nats.Header{
			contract.HeaderID: {outbox.NewID()}, contract.HeaderReplyTo: {replies.Subject}, contract.HeaderBodyObject: {name}}}
		if _, err := stream(t, nc).PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		answer, err := replies.NextMsg(2 * time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := outbox.DecodeReply(answer)
		if err != nil || reply.Settlement == outbox.Delivered || strings.Contains(string(reply.Body), "secret\"") {
			t.Errorf("%s: %s %s, %v", name, reply.Settlement, reply.Body, err)
		}
	}
	if body, err := outbox.NewBodies(f.op, "").Get(t.Context(), "clinic-b/secret", -1); err != nil || len(body) == 0 {
		t.Errorf("the object is gone: %v", err)
	}
}

// What a publisher can put into a read of his own replies does not reach another's.
func TestAttack_DirectGet(t *testing.T) {
	t.Parallel()
	f := newStore(t)
	newVictim(t, f)
	a := connect(t, f.srv, clinicA)
	own := "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-a."
	get := func(subject, body string) string {
		msg, err := a.Request(subject, []byte(body), time.Second)
		if err != nil {
			return ""
		}
		return string(msg.Data)
	}
	if got := get(own+"id", ""); got != "of redox.reply.clinic-a.id" {
		t.Fatalf("his own reply: %q", got)
	}
	for _, body := range []string{`{"seq":1}`, `{"last_by_subj":"redox.reply.clinic-b.id"}`, `{"next_by_subj":"redox.reply.clinic-b.>"}`,
		`{"multi_last":["redox.reply.clinic-b.id"]}`, `{"seq":1,"batch":10}`} {
		for _, subject := range []string{own + "id", own + "none"} {
			if got := get(subject, body); strings.Contains(got, clinicB) {
				t.Errorf("%s %s answered %q", subject, body, got)
			}
		}
	}
}

// Nothing that the library offers on streams is even answered to a publisher, a gateway
// client or a worker. The operator shows that it is asked rightly.
func TestAttack_Streams(t *testing.T) {
	t.Parallel()
	f := newStore(t)
	v := newVictim(t, f)
	t.Run("all", func(t *testing.T) { // returns when its parallel parts have ended
		for _, user := range []string{clinicA, gatewayClient, workerUser} {
			for name, do := range streamWork(stream(t, connect(t, f.srv, user))) {
				t.Run(user+"/"+name, func(t *testing.T) {
					t.Parallel()
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("it was answered: %v", err)
					}
				})
			}
		}
	})
	if own := v.unharmed(t); own != 0 {
		t.Errorf("%d messages were stored", own)
	}
	admin := streamWork(v.op)
	for _, name := range slices.Sorted(maps.Keys(admin)) {
		denied, patience := name == "delete a stream" || name == "purge a stream", time.Minute // also to the operator
		if denied {
			patience = 5 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := admin[name](ctx)
		cancel()
		if denied {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("operator: %s: %v", name, err)
			}
		} else if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("operator: %s: %v", name, err)
		}
	}
}

// streamWork is what an administrator does.
func streamWork(js jetstream.JetStream) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"open a stream":   func(ctx context.Context) error { _, err := js.Stream(ctx, "THIEF"); return err },
		"delete a stream": func(ctx context.Context) error { return js.DeleteStream(ctx, "REDOX_OUT") },
		"purge a stream": func(ctx context.Context) error {
			_, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.PURGE.REDOX_OUT", nil)
			return err
		},
		"create a stream": func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "THIEF", Sources: []*jetstream.StreamSource{{Name: "REDOX_DLQ"}}})
			return err
		},
		"update a stream": func(ctx context.Context) error {
			_, err := js.UpdateStream(ctx, jetstream.StreamConfig{Name: "REDOX_OUT", Subjects: []string{"redox.out.>"}})
			return err
		},
		"create a consumer": func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, "REDOX_DLQ", jetstream.ConsumerConfig{})
			return err
		},
		"pause a consumer": func(ctx context.Context) error {
			_, err := js.PauseConsumer(ctx, "REDOX_OUT", "clinic-b-send", time.Now().Add(time.Hour))
			return err
		},
		"remove a consumer": func(ctx context.Context) error { return js.DeleteConsumer(ctx, "REDOX_OUT", "clinic-b-send") },
		"browse replies": func(ctx context.Context) error {
			_, err := js.OrderedConsumer(ctx, "REDOX_REPLIES", jetstream.OrderedConsumerConfig{})
			return err
		},
	}
}
