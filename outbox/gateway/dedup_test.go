package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// ways are those by which a message of a source gets into the queue under an id.
var ways = []string{"library", "gateway", "gateway, Nats-Msg-Id", "plain client"}

// dedupRig publishes by all of them.
type dedupRig struct {
	outboxtest.Rig
	publisher *outbox.Publisher
	client    *nats.Conn
}

func newDedupRig(t *testing.T, orderSecret []byte) dedupRig {
	t.Helper()
	r := outboxtest.With(t, natsdev.Options{})
	r.Provision(streams.Set{Names: contract.Prefix("")})
	stop := serveGateway(r, Config{Sources: []string{"clinic-a", "clinic-b"}, OrderSecret: orderSecret})
	t.Cleanup(stop)
	p, err := outbox.NewPublisher(r.JS, outbox.PublisherConfig{OrderSecret: orderSecret})
	r.Must(err)
	client := r.Connect().Conn()
	askPing(t, client)
	return dedupRig{r, p, client}
}

// send publishes and answers with the receipt.
func (r dedupRig) send(way, source, id string) (receipt outbox.Receipt) {
	r.T.Helper()
	var err error
	switch way {
	case "library":
		receipt, err = r.publisher.Publish(r.Ctx(), outbox.Message{Source: source, ID: id, Body: []byte(`{}`)})
	case "gateway", "gateway, Nats-Msg-Id":
		name := contract.HeaderMessageID
		if way != "gateway" {
			name = contract.HeaderID
		}
		err = json.Unmarshal(askGateway(r.T, r.client, contract.Prefix("").GatewaySubject(source, contract.LaneSend), nats.Header{name: {id}}).Data, &receipt)
	case "plain client":
		ack, failed := r.Publish(contract.Prefix("").SendSubject(source), contract.HeaderMessageID, id, contract.HeaderID, source+":"+id)
		if err = failed; err == nil {
			receipt = outbox.Receipt{ID: id, Stream: ack.Stream, Sequence: ack.Sequence, Duplicate: ack.Duplicate}
		}
	}
	if err != nil || receipt.ID != id {
		r.T.Fatalf("%s, %s %s: %+v, %v", way, source, id, receipt, err)
	}
	return receipt
}

// Two sources may use the same ids, by whatever way: both messages are stored, under the
// ids that their applications know. Within a source an id that comes again is a duplicate.
func TestDedup_TwoSourcesOneID(t *testing.T) {
	t.Parallel()
	for _, orderSecret := range [][]byte{nil, outboxtest.Secret} {
		r := newDedupRig(t, orderSecret)
		for _, a := range ways {
			for _, b := range ways {
				id := fmt.Sprintf("1001 %s %s", a, b)
				id = strings.NewReplacer(" ", "-", ",", "").Replace(id)
				first, second := r.send(a, "clinic-a", id), r.send(b, "clinic-b", id)
				if first.Duplicate || second.Duplicate || first.Sequence == second.Sequence {
					t.Errorf("%s, then %s: %+v, %+v", a, b, first, second)
				}
				for source, receipt := range map[string]outbox.Receipt{"clinic-a": first, "clinic-b": second} {
					msg := r.Out(receipt.Sequence)
					m, err := outbox.Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence})
					if err != nil || m.ID != id || m.Source != source {
						t.Errorf("%s, then %s: stored %+v, %v", a, b, m, err)
					}
				}
				if again := r.send(a, "clinic-a", id); !again.Duplicate || again.Sequence != first.Sequence {
					t.Errorf("%s again: %+v, first %+v", a, again, first)
				}
			}
		}
		if library, gateway := r.send("library", "clinic-a", "both"), r.send("gateway", "clinic-a", "both"); !gateway.Duplicate || gateway.Sequence != library.Sequence {
			t.Errorf("library %+v, then gateway %+v: they know each other's repeats", library, gateway)
		}
	}
}

// With an order secret no other source makes an id that suppresses a message, neither by
// itself nor with the help of the gateway, whose order tokens are made with that secret.
func TestDedup_AnotherSourceCannotSuppress(t *testing.T) {
	t.Parallel()
	const id = "order-1001"
	r := newDedupRig(t, outboxtest.Secret)
	for _, forged := range outboxtest.Forgeries("clinic-a", id) {
		_, err := r.Publish(contract.Prefix("").SendSubject("clinic-b"), contract.HeaderID, forged)
		r.Must(err)
		if len(forged) <= 200 {
			r.send("gateway", "clinic-b", forged)
			r.send("library", "clinic-b", forged)
		}
	}
	// The gateway as an oracle: it makes a token of any key that a header can hold.
	for _, key := range []string{id, "clinic-a:" + id, "clinic-a\n" + id, "\nclinic-a\n" + id, "clinic-a\x00" + id, "\tclinic-a\n" + id} {
		in := nats.Header{contract.HeaderOrderKey: {key}, contract.HeaderID: {outbox.NewID()}}
		var receipt outbox.Receipt
		answer := askGateway(t, r.client, contract.Prefix("").GatewaySubject("clinic-b", contract.LaneSend), in)
		if json.Unmarshal(answer.Data, &receipt) != nil {
			continue // refused
		}
		_, _, token, _ := contract.Prefix("").ParseOut(r.Out(receipt.Sequence).Subject)
		for _, forged := range []string{token, "clinic-a:" + token} {
			_, err := r.Publish(contract.Prefix("").SendSubject("clinic-b"), contract.HeaderID, forged)
			r.Must(err)
		}
	}
	for _, key := range []string{"\nclinic-a\n" + id, "\n"} {
		if _, err := outbox.OrderToken(outboxtest.Secret, key); err == nil {
			t.Errorf("a token of key %q: it may be half of a Nats-Msg-Id", key)
		}
	}
	for _, way := range []string{"library", "gateway"} {
		if receipt := r.send(way, "clinic-a", id); receipt.Duplicate != (way == "gateway") || r.Out(receipt.Sequence).Subject != "redox.out.clinic-a.send" {
			t.Errorf("%s: suppressed: %+v", way, receipt)
		}
	}
}

// Each of two sources gets its own answer to a request under the same id.
func TestDedup_RequestsOfTwoSources(t *testing.T) {
	t.Parallel()
	r := newDedupRig(t, nil)
	stop := r.answersFrom("clinic-a", "clinic-b")
	for _, source := range []string{"clinic-a", "clinic-b"} {
		answer := askGateway(t, r.client, contract.Prefix("").GatewaySubject(source, contract.LaneRequest), nats.Header{contract.HeaderMessageID: {"q-1"}})
		if reply, err := outbox.DecodeReply(answer); err != nil || reply.MessageID != "q-1" || string(reply.Body) != source {
			t.Errorf("%s through the gateway: %+v, %v", source, reply, err)
		}
		if reply, err := r.publisher.Request(r.Ctx(), outbox.Message{Source: source, ID: "q-2", Body: []byte(`{}`)}); err != nil || string(reply.Body) != source {
			t.Errorf("%s by the library: %+v, %v", source, reply, err)
		}
	}
	stop() // it answers also what the queue does not take
	var refused *outbox.GatewayError
	answer := askGateway(t, r.client, contract.Prefix("").GatewaySubject("clinic-b", contract.LaneRequest), nats.Header{contract.HeaderMessageID: {"q-2"}})
	if _, err := outbox.DecodeReply(answer); !errors.As(err, &refused) || refused.Code != "409" {
		t.Errorf("a second request of one source: %v, %v", answer.Header, err)
	}
}

// answersFrom answers requests, which stay in the queue, with the name of their source.
func (r dedupRig) answersFrom(sources ...string) (stop func()) {
	r.T.Helper()
	var subs []*nats.Subscription
	for _, source := range sources {
		sub, err := r.client.Subscribe(contract.Prefix("").RequestSubject(source), func(in *nats.Msg) {
			reply := outbox.Reply{MessageID: wire.First(in.Header, contract.HeaderMessageID), Settlement: outbox.Delivered, Body: []byte(source)}
			if err := r.client.PublishMsg(reply.Encode(wire.First(in.Header, contract.HeaderReplyTo))); err != nil {
				r.T.Error(err)
			}
		})
		r.Must(err)
		subs = append(subs, sub)
	}
	r.Must(r.client.Flush())
	return func() {
		for _, sub := range subs {
			r.Must(sub.Unsubscribe())
		}
		r.Must(r.client.Flush())
	}
}

// Thousands of sources that all count from one lose nothing to each other.
func TestDedup_ManySourcesOneID(t *testing.T) {
	t.Parallel()
	r := newDedupRig(t, outboxtest.Secret)
	sources := crowd(5000)
	stop := serveGateway(r.Rig, Config{Sources: sources, OrderSecret: outboxtest.Secret})
	defer stop()
	for _, source := range sources {
		for way, id := range map[string]string{"library": "1", "gateway": "2"} {
			if receipt := r.send(way, source, id); receipt.Duplicate && !receipt.Repeated {
				t.Fatalf("%s, %s: %+v", source, way, receipt)
			}
		}
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != uint64(2*len(sources)) {
		t.Errorf("%d messages are stored, want %d", n, 2*len(sources))
	}
	if again := r.send("gateway", sources[4711], "1"); !again.Duplicate {
		t.Errorf("the id of the same source again: %+v", again)
	}
}

// A message id is bounded by itself, and what the stream alone uses is longer.
func TestDedup_LongIDs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dedup, own int
		want       int // the length of the message id; 0: poison
	}{
		{wire.MaxID, 0, wire.MaxID}, {wire.MaxID + 1, 0, 0}, {0, wire.MaxID, wire.MaxID}, {0, wire.MaxID + 1, 0},
		{wire.MaxSource + 1 + wire.MaxID, wire.MaxID, wire.MaxID}, {wire.MaxDedupID, 1, 1}, {wire.MaxDedupID + 1, 1, 0},
	} {
		h := nats.Header{}
		for name, n := range map[string]int{contract.HeaderID: tt.dedup, contract.HeaderMessageID: tt.own} {
			if n > 0 {
				h[name] = []string{strings.Repeat("i", n)}
			}
		}
		m, err := outbox.Decode("", outbox.Stored{Subject: "redox.out.clinic-a.send", Header: h, Sequence: 1})
		if (err != nil) != (tt.want == 0) || err == nil && len(m.ID) != tt.want || len(m.ID) > wire.MaxID {
			t.Errorf("%d bytes, %d of its own: %d, %v", tt.dedup, tt.own, len(m.ID), err)
		}
	}
	r := newDedupRig(t, nil)
	for _, name := range []string{contract.HeaderID, contract.HeaderMessageID} {
		answer := askGateway(t, r.client, contract.Prefix("").GatewaySubject("clinic-a", contract.LaneSend), nats.Header{name: {strings.Repeat("i", 200+1)}})
		var refused *outbox.GatewayError
		if _, err := outbox.DecodeReply(answer); !errors.As(err, &refused) || refused.Code != "400" || !strings.Contains(refused.Error(), name+" is longer than 200 bytes") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var receipt outbox.Receipt
	both := nats.Header{contract.HeaderID: {"stream's"}, contract.HeaderMessageID: {"own"}}
	if err := json.Unmarshal(askGateway(t, r.client, contract.Prefix("").GatewaySubject("clinic-a", contract.LaneSend), both).Data, &receipt); err != nil || receipt.ID != "own" {
		t.Errorf("both: %+v, %v", receipt, err)
	}
}
