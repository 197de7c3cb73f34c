package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// published is a provisioned server with a publisher for clinic-a.
func published(t *testing.T, o natsdev.Options, cfg PublisherConfig) (rig, *Publisher) {
	t.Helper()
	r := rig{outboxtest.With(t, o, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))}
	if err := outboxtest.Provision(r.Ctx(), r.JS, streams.Set{Names: contract.Prefix("")}); err != nil {
		t.Fatal(err)
	}
	if cfg.OrderSecret == nil {
		cfg.OrderSecret = outboxtest.Secret
	}
	p, err := NewPublisher(r.JS, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func TestPublish_TwiceIsStoredOnce(t *testing.T) {
	t.Parallel()
	_, p := published(t, natsdev.Options{}, PublisherConfig{})
	m := Message{ID: "m-1", Source: "clinic-a", Body: []byte(`{}`)}
	first, err := p.Publish(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Receipt{ID: "m-1", Stream: "REDOX_OUT", Sequence: 1}); first != want {
		t.Errorf("receipt %+v, want %+v", first, want)
	}
	second, err := p.Publish(t.Context(), m)
	if err != nil || !second.Duplicate || second.Sequence != 1 {
		t.Errorf("second receipt %+v, %v", second, err)
	}
	made, err := p.Publish(t.Context(), Message{Source: "clinic-a"})
	if err != nil || len(made.ID) != 36 || made.Sequence != 2 {
		t.Errorf("receipt of a message without an id: %+v, %v", made, err)
	}
}

func TestPublish_OrderKeyBecomesTheTokenOfTheSubject(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	receipt, err := p.Publish(t.Context(), Message{Source: "clinic-a", OrderKey: "MRN 12345"})
	if err != nil {
		t.Fatal(err)
	}
	msg := r.Out(receipt.Sequence)
	token, err := OrderToken(outboxtest.Secret, "MRN 12345")
	if err != nil {
		t.Fatal(err)
	}
	if msg.Subject != "redox.out.clinic-a.send."+token || msg.Header.Get(contract.HeaderOrderToken) != "" {
		t.Errorf("stored under %s with %v", msg.Subject, msg.Header)
	}
	if strings.Contains(fmt.Sprint(msg.Subject, msg.Header), "12345") {
		t.Error("the order key left the process")
	}
	bare, err := NewPublisher(r.JS, PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bare.Publish(t.Context(), Message{Source: "clinic-a", OrderKey: "k"}); err == nil || !strings.Contains(err.Error(), "order.secret") {
		t.Errorf("an order key without a secret: %v", err)
	}
}

func TestPublish_SizeAtTheLimitAndOneOver(t *testing.T) {
	t.Parallel()
	const limit = 4096
	r, p := published(t, natsdev.Options{MaxPayload: limit}, PublisherConfig{})
	fit := func(extra int) Message {
		m := Message{ID: "m", Source: "clinic-a", Body: []byte{}}
		msg, err := p.encode(m)
		if err != nil {
			t.Fatal(err)
		}
		m.Body = bytes.Repeat([]byte("x"), limit-int(wire.Size(msg))+extra)
		return m
	}
	if _, err := p.Publish(t.Context(), fit(0)); err != nil {
		t.Errorf("a message of exactly max_payload: %v", err)
	}
	var size *SizeError
	if _, err := p.Publish(t.Context(), fit(1)); !errors.As(err, &size) || size.Limit != limit || size.Size != limit+1 {
		t.Errorf("a byte more: %v", err)
	}
	claims, err := NewPublisher(r.JS, PublisherConfig{ClaimCheck: true, OrderSecret: outboxtest.Secret})
	if err != nil {
		t.Fatal(err)
	}
	large := fit(1)
	large.ID = "large"
	receipt, err := claims.Publish(t.Context(), large)
	if err != nil {
		t.Fatal(err)
	}
	msg := r.Out(receipt.Sequence)
	body, err := NewBodies(r.JS, "").Get(t.Context(), msg.Header.Get(contract.HeaderBodyObject), limit*2)
	if err != nil || !bytes.Equal(body, large.Body) || len(msg.Data) != 0 {
		t.Errorf("claim check: %d bytes beside %d, %v", len(body), len(msg.Data), err)
	}
}

func TestPublish_ErrorsSayWhatAndTheMend(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxMsgs = 1
	if _, err := r.JS.UpdateStream(r.Ctx(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), Message{Source: "clinic-a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), Message{Source: "clinic-a"}); !errors.Is(err, ErrQueueFull) {
		t.Errorf("a full queue: %v", err)
	}
	elsewhere, err := NewPublisher(r.JS, PublisherConfig{Prefix: "other", Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := elsewhere.Publish(t.Context(), Message{Source: "clinic-a"}); !errors.Is(err, ErrNoStream) || !strings.Contains(err.Error(), "provision") {
		t.Errorf("no stream: %v", err)
	}
	var refused *ContractError
	for name, m := range map[string]Message{
		"source": {Source: "Clinic A"}, "id": {Source: "clinic-a", ID: "a b"}, "path": {Source: "clinic-a", Path: "/x"},
		"reply": {Source: "clinic-a", ReplyTo: "a.*"}, "request in order": {Source: "clinic-a", Lane: contract.LaneRequest, OrderKey: "k"},
	} {
		if _, err := p.Publish(t.Context(), m); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPublish_PermissionShowsByName(t *testing.T) {
	t.Parallel()
	r := configured(t, `jetstream: enabled
		accounts { A { jetstream: enabled, users: [
		{user: op, password: p}, {user: b, password: p, permissions: {publish: ["redox.out.clinic-b.>"], subscribe: ["_INBOX.>"]}} ] } }`,
		nats.UserInfo("op", "p"))
	if err := outboxtest.Provision(r.Ctx(), r.JS, streams.Set{Names: contract.Prefix("")}); err != nil {
		t.Fatal(err)
	}
	p, err := NewPublisher(r.Connect(nats.UserInfo("b", "p")), PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(r.Ctx(), Message{Source: "clinic-b"}); err != nil {
		t.Errorf("its own source: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := p.Publish(ctx, Message{Source: "clinic-a"}); !errors.Is(err, ErrPermission) {
		t.Errorf("another source: %v", err)
	}
}

// A server that restarts meanwhile costs no message and stores none twice, if what is in doubt
// is published again.
func TestPublish_ServerRestart(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{})
	const workers, each = 4, 100
	var all sync.WaitGroup
	var restarted sync.WaitGroup
	restarted.Add(1)
	for w := range workers {
		all.Go(func() {
			for i := range each {
				if i == each/2 {
					restarted.Wait()
				}
				m := Message{ID: fmt.Sprintf("%d-%d", w, i), Source: "clinic-a"}
				_, err := p.Publish(r.Ctx(), m)
				if errors.Is(err, ErrInDoubt) { // nothing is settled here, so that the queue knows all ids
					_, err = p.Publish(r.Ctx(), m)
				}
				if err != nil {
					t.Errorf("message %d-%d: %v", w, i, err)
				}
			}
		})
	}
	all.Go(func() {
		restarted.Done() // in the middle of publishing
		if err := r.Server.Restart(); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	s, err := r.JS.Stream(r.Ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != workers*each {
		t.Errorf("%d messages stored, want %d", n, workers*each)
	}
}

func BenchmarkPublish(b *testing.B) {
	s, err := natsdev.Start(natsdev.Options{Dir: b.TempDir(), Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Shutdown() }()
	conn, err := s.Connect()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	if err := outboxtest.Provision(b.Context(), js, streams.Set{Names: contract.Prefix("")}); err != nil {
		b.Fatal(err)
	}
	p, err := NewPublisher(js, PublisherConfig{OrderSecret: outboxtest.Secret})
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Publish(b.Context(), Message{Source: "clinic-a", OrderKey: "k", Body: body}); err != nil {
			b.Fatal(err)
		}
	}
}
