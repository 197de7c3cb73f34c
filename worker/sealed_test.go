package worker_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const canary = "CANARY-4711"

// keys is a ring in a file, which a test replaces.
type keys struct {
	*rig
	path string
	seal.Keys
}

func (r *rig) keys() *keys {
	r.Helper()
	k := &keys{rig: r, path: filepath.Join(r.TempDir(), "ring.json")}
	k.Keys, _ = seal.Keys{}.With(time.Now(), time.Now())
	k.write()
	return k
}

func (k *keys) write() {
	k.Helper()
	if err := errors.Join(os.WriteFile(k.path+".new", k.Encode(), 0o600), os.Rename(k.path+".new", k.path)); err != nil {
		k.Fatal(err)
	}
}

func (k *keys) open() *seal.Ring {
	k.Helper()
	ring, err := seal.Open(k.path, seal.Options{})
	if err != nil {
		k.Fatal(err)
	}
	return ring
}

func (r *rig) sealer(ring *seal.Ring) *outbox.Publisher {
	r.Helper()
	p, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{Ring: ring, ClaimCheck: true, OrderSecret: []byte("0123456789abcdef")})
	if err != nil {
		r.Fatal(err)
	}
	return p
}

// stored are the messages of all streams.
func (r *rig) everything() (all []*jetstream.RawStreamMsg) {
	r.Helper()
	for name := range r.js.StreamNames(r.Context()).Name() {
		s, err := r.js.Stream(r.Context(), name)
		if err != nil {
			r.Fatal(err)
		}
		info, err := s.Info(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		for at := info.State.FirstSeq; at > 0 && at <= info.State.LastSeq; at++ {
			if msg, err := s.GetMsg(r.Context(), at); err == nil {
				all = append(all, msg)
			}
		}
	}
	return all
}

// clear fails the test where anything that is stored has the canary.
func (r *rig) clear() {
	r.Helper()
	for _, msg := range r.everything() {
		if text := msg.Subject + fmt.Sprint(msg.Header) + string(msg.Data); strings.Contains(text, canary) {
			r.Errorf("%s %d holds what should be sealed", msg.Subject, msg.Sequence)
		}
	}
}

// Messages of all kinds are opened for the far side alone; so are their replies for whoever asked, in a message and in the
// object store.
func TestSealed_DeliversAndAnswers(t *testing.T) {
	inBubble(t, func(r *rig) {
		big := append(bytes.Repeat([]byte("x"), 2<<20), canary...)
		var file []byte
		r.far.Answer = func(ctx context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			switch {
			case m.OpenBody != nil:
				from, err := m.OpenBody(ctx)
				if err != nil {
					return outbox.Answer{}, err
				}
				if file, err = io.ReadAll(from); err != nil || int64(len(file)) != m.BodySize {
					return outbox.Answer{}, fmt.Errorf("%d of %d bytes: %w", len(file), m.BodySize, err)
				}
			case n == 1 && m.ID == "retry":
				return outbox.Answer{Status: 503}, errors.New("try again")
			case strings.HasPrefix(m.ID, "big"):
				return outbox.Answer{Status: 200, Body: big}, nil
			}
			return outbox.Answer{Status: 201, ContentType: "application/json", Header: http.Header{"Location": {"Patient/" + canary}}, Body: []byte(canary)}, nil
		}
		k := r.keys()
		r.start(worker.Config{Ring: k.open(), RequireSeal: true, StreamFiles: true})
		p := r.sealer(k.open())
		for _, m := range []outbox.Message{
			{ID: "plain", Body: []byte(canary)}, {ID: "retry", Body: []byte(canary)}, {ID: "ordered", Body: []byte(canary), OrderKey: canary},
			{ID: "fhir", Kind: outbox.KindFHIR, Path: "s/Production/Patient?name=" + canary, Method: "PUT", Header: http.Header{"Prefer": {canary}}, Body: []byte(canary)},
			{ID: "read", Kind: outbox.KindFHIR, Path: "s/Production/Patient/" + canary, Lane: contract.LaneRequest},
			{ID: "big", Body: big}, {ID: "file", Kind: outbox.KindFile, Body: big},
			{ID: "big-inbox", Body: []byte("{}"), Lane: contract.LaneRequest},
		} {
			m.Source, m.Lane = source, cmp.Or(m.Lane, contract.LaneSend)
			if m.ID != "big-inbox" {
				m.ReplyTo = "redox.reply.clinic-a." + m.ID
			}
			reply, err := p.Request(r.Context(), m)
			if err != nil || !reply.OK() || !bytes.Contains(reply.Body, []byte(canary)) {
				r.Fatalf("%s: %v, %v", m.ID, reply, err)
			}
			if !strings.HasPrefix(m.ID, "big") && reply.Header.Get("Location") != "Patient/"+canary {
				r.Errorf("%s: %q", m.ID, reply.Header)
			}
			if calls := r.far.Of(m.ID); m.ID != "file" && !bytes.Equal(calls[0].Body, m.Body) {
				r.Errorf("%s: the far side got %d bytes, not %d", m.ID, len(calls[0].Body), len(m.Body))
			}
			r.clear()
		}
		if !bytes.Equal(file, big) {
			r.Errorf("the far side read %d bytes, not %d", len(file), len(big))
		}
		replies, err := outbox.NewReplies(r.js, outbox.RepliesConfig{Source: source, Ring: k.open()})
		if err != nil {
			r.Fatal(err)
		}
		read := 0
		for reply, err := range replies.All(r.Context()) {
			if err != nil || !bytes.Contains(reply.Body, []byte(canary)) {
				r.Errorf("%v, %v", reply, err)
			}
			if read++; read == 7 {
				break
			}
		}
		without, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{})
		if err != nil {
			r.Fatal(err)
		}
		if reply, err := without.Await(r.Context(), "redox.reply.clinic-a.plain"); !errors.Is(err, seal.ErrAway) || reply.Settlement != outbox.Delivered {
			r.Errorf("without a ring: %v, %v", reply, err)
		}
	})
}

// What does not open is held with the reason, and never sent.
func TestSealed_WhatDoesNotOpenIsHeld(t *testing.T) {
	inBubble(t, func(r *rig) {
		k := r.keys()
		ring := k.open()
		r.start(worker.Config{Ring: ring, Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		sealed := func(ring *seal.Ring, id string, body string) *nats.Msg {
			m, err := outbox.Message{ID: id, Source: source, Body: []byte(body), Kind: outbox.KindFHIR, Path: "s/Production/" + canary}.Seal(ring, "")
			if err != nil {
				r.Fatal(err)
			}
			msg, err := m.Encode("")
			if err != nil {
				r.Fatal(err)
			}
			return msg
		}
		foreign, _ := seal.Keys{}.With(time.Now(), time.Now())
		old, first := seal.Keys{}.With(time.Now(), time.Now())
		mixed, _ := old.With(time.Now(), time.Now().Add(time.Second))
		bubble.Sleep(2 * time.Second)
		gone, err := mixed.Shred(first.ID, time.Now())
		if err != nil {
			r.Fatal(err)
		}
		k.Keys = gone
		other := sealed(seal.NewRing(mixed), "other", canary)
		k.write()
		bubble.Sleep(2 * time.Second)
		now := k.open()
		cases := []struct {
			id, want string
			ring     *seal.Ring
			change   func(*nats.Msg)
		}{
			{"shredded", "shredded", seal.NewRing(old), nil},
			{"unknown", "the ring does not have", seal.NewRing(foreign), nil},
			{"bit", "altered", now, func(m *nats.Msg) { m.Data[3] ^= 1 }},
			{"bit-of-headers", "altered", now, func(m *nats.Msg) {
				h := []byte(m.Header.Get(contract.HeaderSealed))
				h[9] ^= 1
				m.Header.Set(contract.HeaderSealed, string(h))
			}},
			{"body", "altered", now, func(m *nats.Msg) { m.Data = other.Data }},
			{"headers", "altered", now, func(m *nats.Msg) { m.Header[contract.HeaderSealed] = other.Header[contract.HeaderSealed] }},
			{"all", "altered", now, func(m *nats.Msg) {
				m.Data, m.Header[contract.HeaderSealed], m.Header[contract.HeaderSeal] = other.Data, other.Header[contract.HeaderSealed], other.Header[contract.HeaderSeal]
			}},
			{"source", "altered", now, func(m *nats.Msg) { m.Subject = "redox.out.clinic-b.send" }},
		}
		for _, c := range cases {
			msg := sealed(c.ring, c.id, canary)
			if c.change != nil {
				c.change(msg)
			}
			if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
				r.Fatal(err)
			}
			r.awaitSettled(c.id)
		}
		letters, err := dlq.New(r.js, dlq.Config{})
		if err != nil {
			r.Fatal(err)
		}
		for _, c := range cases {
			got, err := letters.Get(r.Context(), "", c.id)
			if err != nil || got[0].Settlement != outbox.Held || !strings.Contains(got[0].Error, c.want) {
				r.Errorf("%s: %v, %v", c.id, got, err)
			}
		}
		if calls := r.far.Calls(); len(calls) > 0 {
			r.Errorf("%d were sent", len(calls))
		}
		r.clear()
	})
}

// A claim whose object is not what was sealed is held, in memory and as a stream.
func TestSealed_AClaimThatIsAnothers(t *testing.T) {
	inBubble(t, func(r *rig) {
		k := r.keys()
		r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			from, err := m.OpenBody(ctx)
			if err != nil {
				return outbox.Answer{}, err
			}
			if _, err = io.ReadAll(from); err != nil {
				return outbox.Answer{}, err
			}
			return outbox.Answer{Status: 200}, nil
		}
		p := r.sealer(k.open())
		for _, m := range []outbox.Message{{ID: "memory", Body: large(2 << 20)}, {ID: "stream", Kind: outbox.KindFile, Body: large(2 << 20)}} {
			m.Source = source
			if _, err := p.Publish(r.Context(), m); err != nil {
				r.Fatal(err)
			}
		}
		bodies := outbox.NewBodies(r.js, "")
		for _, msg := range r.everything() {
			if name := msg.Header.Get(contract.HeaderBodyObject); name != "" {
				sealed, err := bodies.Get(r.Context(), name, -1)
				if err != nil {
					r.Fatal(err)
				}
				sealed[1<<20] ^= 1
				if err := bodies.Put(r.Context(), name, sealed); err != nil {
					r.Fatal(err)
				}
			}
		}
		r.start(worker.Config{Ring: k.open(), StreamFiles: true})
		for _, id := range []string{"memory", "stream"} {
			if e := r.awaitSettled(id); e.Settlement != outbox.Held || !strings.Contains(e.Error, "altered") {
				r.Errorf("%s: %+v", id, e)
			}
		}
	})
}

// Sealed and unsealed messages go side by side; where sealing is required, what is not sealed is poison.
func TestSealed_Required(t *testing.T) {
	for _, require := range []bool{false, true} {
		inBubble(t, func(r *rig) {
			k := r.keys()
			r.start(worker.Config{Ring: k.open(), RequireSeal: require})
			want := outbox.Delivered
			if require {
				want = outbox.Poison
			}
			r.publish(outbox.Message{ID: "unsealed", Body: []byte(canary)})
			if _, err := r.sealer(k.open()).Publish(r.Context(), outbox.Message{ID: "sealed", Source: source, Body: []byte("{}")}); err != nil {
				r.Fatal(err)
			}
			if e := r.awaitSettled("unsealed"); e.Settlement != want || require && !strings.Contains(e.Error, "seal.require") {
				r.Errorf("require %t: %+v", require, e)
			}
			if e := r.awaitSettled("sealed"); e.Settlement != outbox.Delivered {
				r.Errorf("require %t: %+v", require, e)
			}
			p, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{RequireSeal: require})
			if err != nil {
				r.Fatal(err)
			}
			if _, err := p.Publish(r.Context(), outbox.Message{Source: source, Body: []byte("{}")}); errors.Is(err, outbox.ErrUnsealed) != require {
				r.Errorf("require %t: published: %v", require, err)
			}
			if require {
				r.clear()
				r.buriedSealed("unsealed", k.open(), canary)
			}
		})
	}
}

// buriedSealed fails the test unless there is one dead letter, which is sealed, and opens to a body.
func (r *rig) buriedSealed(id string, ring *seal.Ring, body string) {
	r.Helper()
	store, err := dlq.New(r.js, dlq.Config{Ring: ring})
	if err != nil {
		r.Fatal(err)
	}
	found := 0
	for l, err := range store.List(r.Context(), dlq.Query{}) {
		if err != nil {
			r.Fatal(err)
		}
		found++
		if got, err := store.Body(r.Context(), l); err != nil || !l.Sealed() || l.MessageID != id || string(got) != body {
			r.Errorf("dead letter %s, sealed %t: %q, %v", l.MessageID, l.Sealed(), got, err)
		}
	}
	if found != 1 {
		r.Errorf("%d dead letters", found)
	}
}
