package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// ways are those by which a message of a source gets into the queue under an id.
var ways = []string{"library", "gateway", "gateway, Nats-Msg-Id", "plain client"}

// dedupRig publishes by all of them.
type dedupRig struct {
	topologyRig
	publisher *Publisher
	client    *nats.Conn
}

func newDedupRig(t *testing.T, orderSecret []byte) dedupRig {
	t.Helper()
	r := topologyRigWith(t, natsdev.Options{})
	r.ensure(Topology{})
	stop := serveGateway(r, GatewayConfig{Sources: []string{"clinic-a", "clinic-b"}, OrderSecret: orderSecret})
	t.Cleanup(stop)
	p, err := NewPublisher(r.js, PublisherConfig{OrderSecret: orderSecret})
	must(r, err)
	client := r.connect().Conn()
	askPing(t, client)
	return dedupRig{r, p, client}
}

// send publishes and answers with the receipt.
func (r dedupRig) send(way, source, id string) (receipt Receipt) {
	r.t.Helper()
	var err error
	switch way {
	case "library":
		receipt, err = r.publisher.Publish(r.ctx(), Message{Source: source, ID: id, Body: []byte(`{}`)})
	case "gateway", "gateway, Nats-Msg-Id":
		name := HeaderMessageID
		if way != "gateway" {
			name = HeaderID
		}
		err = json.Unmarshal(askGateway(r.t, r.client, Prefix("").GatewaySubject(source, LaneSend), nats.Header{name: {id}}).Data, &receipt)
	case "plain client":
		ack, failed := r.topologyRig.publish(Prefix("").SendSubject(source), HeaderMessageID, id, HeaderID, source+":"+id)
		if err = failed; err == nil {
			receipt = Receipt{ID: id, Stream: ack.Stream, Sequence: ack.Sequence, Duplicate: ack.Duplicate}
		}
	}
	if err != nil || receipt.ID != id {
		r.t.Fatalf("%s, %s %s: %+v, %v", way, source, id, receipt, err)
	}
	return receipt
}

// Two sources may use the same ids, by whatever way: both messages are stored, under the
// ids that their applications know. Within a source an id that comes again is a duplicate.
func TestDedup_TwoSourcesOneID(t *testing.T) {
	t.Parallel()
	for _, orderSecret := range [][]byte{nil, testSecret} {
		r := newDedupRig(t, orderSecret)
		for _, a := range ways {
			for _, b := range ways {
				id := fmt.Sprintf("1001 %s %s", a, b)
				id = strings.NewReplacer(" ", "-", ",", "").Replace(id)
				first, second := r.send(a, "clinic-a", id), r.send(b, "clinic-b", id)
				if first.Duplicate || second.Duplicate || first.Sequence == second.Sequence {
					t.Errorf("%s, then %s: %+v, %+v", a, b, first, second)
				}
				for source, receipt := range map[string]Receipt{"clinic-a": first, "clinic-b": second} {
					msg := r.out(receipt.Sequence)
					m, err := Decode("", Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence})
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

// forgeries are the Nats-Msg-Ids that somebody may try who knows source and id of a message,
// and the gateway's answers, but not the order secret.
func forgeries(source, id string) []string {
	digest := func(parts ...string) (all []string) {
		for _, glue := range []string{"", ":", ".", "\n", "\x00", "/"} {
			sum := sha256.Sum256([]byte(strings.Join(parts, glue)))
			mac := hmac.New(sha256.New, nil)
			mac.Write([]byte(strings.Join(parts, glue)))
			for _, one := range [][]byte{sum[:], mac.Sum(nil)} {
				all = append(all, hex.EncodeToString(one), hex.EncodeToString(one[:tokenDigits/2]))
			}
		}
		return all
	}
	forged := []string{id, source, ":" + id, source + ":" + id, source + "." + id, source + ":" + id + ":r1", source + ":", source + ":" + strings.Repeat("0", tokenDigits)}
	for _, guess := range append(digest(source, id), digest("", source, id)...) {
		forged = append(forged, guess, source+":"+guess)
	}
	return forged
}

// With an order secret no other source makes an id that suppresses a message, neither by
// itself nor with the help of the gateway, whose order tokens are made with that secret.
func TestDedup_AnotherSourceCannotSuppress(t *testing.T) {
	t.Parallel()
	const id = "order-1001"
	r := newDedupRig(t, testSecret)
	for _, forged := range forgeries("clinic-a", id) {
		_, err := r.topologyRig.publish(Prefix("").SendSubject("clinic-b"), HeaderID, forged)
		must(r.topologyRig, err)
		if len(forged) <= maxNewID {
			r.send("gateway", "clinic-b", forged)
			r.send("library", "clinic-b", forged)
		}
	}
	// The gateway as an oracle: it makes a token of any key that a header can hold.
	for _, key := range []string{id, "clinic-a:" + id, "clinic-a\n" + id, "\nclinic-a\n" + id, "clinic-a\x00" + id, "\tclinic-a\n" + id} {
		in := nats.Header{HeaderOrderKey: {key}, HeaderID: {NewID()}}
		var receipt Receipt
		answer := askGateway(t, r.client, Prefix("").GatewaySubject("clinic-b", LaneSend), in)
		if json.Unmarshal(answer.Data, &receipt) != nil {
			continue // refused
		}
		_, _, token, _ := Prefix("").ParseOut(r.out(receipt.Sequence).Subject)
		for _, forged := range []string{token, "clinic-a:" + token} {
			_, err := r.topologyRig.publish(Prefix("").SendSubject("clinic-b"), HeaderID, forged)
			must(r.topologyRig, err)
		}
	}
	for _, key := range []string{"\nclinic-a\n" + id, "\n"} {
		if _, err := OrderToken(testSecret, key); err == nil {
			t.Errorf("a token of key %q: it may be half of a Nats-Msg-Id", key)
		}
	}
	for _, way := range []string{"library", "gateway"} {
		if receipt := r.send(way, "clinic-a", id); receipt.Duplicate != (way == "gateway") || r.out(receipt.Sequence).Subject != "redox.out.clinic-a.send" {
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
		answer := askGateway(t, r.client, Prefix("").GatewaySubject(source, LaneRequest), nats.Header{HeaderMessageID: {"q-1"}})
		if reply, err := DecodeReply(answer); err != nil || reply.MessageID != "q-1" || string(reply.Body) != source {
			t.Errorf("%s through the gateway: %+v, %v", source, reply, err)
		}
		if reply, err := r.publisher.Request(r.ctx(), Message{Source: source, ID: "q-2", Body: []byte(`{}`)}); err != nil || string(reply.Body) != source {
			t.Errorf("%s by the library: %+v, %v", source, reply, err)
		}
	}
	stop() // it answers also what the queue does not take
	var refused *GatewayError
	answer := askGateway(t, r.client, Prefix("").GatewaySubject("clinic-b", LaneRequest), nats.Header{HeaderMessageID: {"q-2"}})
	if _, err := DecodeReply(answer); !errors.As(err, &refused) || refused.Code != "409" {
		t.Errorf("a second request of one source: %v, %v", answer.Header, err)
	}
}

// answersFrom answers requests, which stay in the queue, with the name of their source.
func (r dedupRig) answersFrom(sources ...string) (stop func()) {
	r.t.Helper()
	var subs []*nats.Subscription
	for _, source := range sources {
		sub, err := r.client.Subscribe(Prefix("").RequestSubject(source), func(in *nats.Msg) {
			reply := Reply{MessageID: first(in.Header, HeaderMessageID), Settlement: Delivered, Body: []byte(source)}
			if err := r.client.PublishMsg(reply.Encode(first(in.Header, HeaderReplyTo))); err != nil {
				r.t.Error(err)
			}
		})
		must(r.topologyRig, err)
		subs = append(subs, sub)
	}
	must(r.topologyRig, r.client.Flush())
	return func() {
		for _, sub := range subs {
			must(r.topologyRig, sub.Unsubscribe())
		}
		must(r.topologyRig, r.client.Flush())
	}
}

// Thousands of sources that all count from one lose nothing to each other.
func TestDedup_ManySourcesOneID(t *testing.T) {
	t.Parallel()
	r := newDedupRig(t, testSecret)
	sources := crowd(5000)
	stop := serveGateway(r.topologyRig, GatewayConfig{Sources: sources, OrderSecret: testSecret})
	defer stop()
	for _, source := range sources {
		for way, id := range map[string]string{"library": "1", "gateway": "2"} {
			if receipt := r.send(way, source, id); receipt.Duplicate {
				t.Fatalf("%s, %s: %+v", source, way, receipt)
			}
		}
	}
	if n := r.stream("REDOX_OUT").State.Msgs; n != uint64(2*len(sources)) {
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
		{maxID, 0, maxID}, {maxID + 1, 0, 0}, {0, maxID, maxID}, {0, maxID + 1, 0},
		{maxSource + 1 + maxID, maxID, maxID}, {maxDedupID, 1, 1}, {maxDedupID + 1, 1, 0},
	} {
		h := nats.Header{}
		for name, n := range map[string]int{HeaderID: tt.dedup, HeaderMessageID: tt.own} {
			if n > 0 {
				h[name] = []string{strings.Repeat("i", n)}
			}
		}
		m, err := Decode("", Stored{Subject: "redox.out.clinic-a.send", Header: h, Sequence: 1})
		if (err != nil) != (tt.want == 0) || err == nil && len(m.ID) != tt.want || len(m.ID) > maxID {
			t.Errorf("%d bytes, %d of its own: %d, %v", tt.dedup, tt.own, len(m.ID), err)
		}
	}
	r := newDedupRig(t, nil)
	for _, name := range []string{HeaderID, HeaderMessageID} {
		answer := askGateway(t, r.client, Prefix("").GatewaySubject("clinic-a", LaneSend), nats.Header{name: {strings.Repeat("i", maxNewID+1)}})
		var refused *GatewayError
		if _, err := DecodeReply(answer); !errors.As(err, &refused) || refused.Code != "400" || !strings.Contains(refused.Error(), name+" is longer than 200 bytes") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var receipt Receipt
	both := nats.Header{HeaderID: {"stream's"}, HeaderMessageID: {"own"}}
	if err := json.Unmarshal(askGateway(t, r.client, Prefix("").GatewaySubject("clinic-a", LaneSend), both).Data, &receipt); err != nil || receipt.ID != "own" {
		t.Errorf("both: %+v, %v", receipt, err)
	}
}

// Different sources never share a Nats-Msg-Id, nor do different ids of one source; a worker
// reads back the id that went in.
func FuzzDedupID(f *testing.F) {
	f.Add("secret-of-16-bytes", "clinic-a", "b:1", "clinic-a", "b")
	f.Add("", "clinic", "a:1", "clinic-a", "1")
	f.Add("", "clinic-a", "1:r1", "clinic-a", "1")
	f.Fuzz(func(t *testing.T, orderSecret, sourceA, idA, sourceB, idB string) {
		for _, one := range [][2]string{{sourceA, idA}, {sourceB, idB}} {
			if CheckSource(one[0]) != nil || checkID(HeaderMessageID, one[1], maxID) != nil {
				return
			}
		}
		if len(orderSecret) > 0 && checkOrderSecret([]byte(orderSecret)) != nil {
			return
		}
		a, b := dedupID([]byte(orderSecret), sourceA, idA), dedupID([]byte(orderSecret), sourceB, idB)
		if (a == b) != (sourceA == sourceB && idA == idB) {
			t.Fatalf("%s %s and %s %s: %s, %s", sourceA, idA, sourceB, idB, a, b)
		}
		m, err := Decode("", Stored{Subject: Prefix("").SendSubject(sourceA), Header: nats.Header{HeaderID: {a}, HeaderMessageID: {idA}}, Sequence: 1})
		if err != nil || m.ID != idA {
			t.Fatalf("%q: read as %q, %v", idA, m.ID, err)
		}
	})
}
