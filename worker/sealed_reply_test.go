package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A reply that is stored stays readable when another worker settles its message again: the body of
// the second reply, which is not stored, does not take the place of the first.
func TestSealed_AReplyThatIsStoredIsNotSealedAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		big := bytes.Repeat([]byte("x"), 2<<20)
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 200, Body: big}, nil
		}
		k := r.keys()
		stop := r.start(worker.Config{Ring: k.open(), DrainTimeout: time.Second, Audit: func(context.Context, audit.Entry) error { return errors.New("full") }})
		p := r.sealer(k.open())
		if _, err := p.Publish(r.Context(), outbox.Message{ID: "big", Source: source, Lane: contract.LaneSend, ReplyTo: "redox.reply.clinic-a.big", Body: []byte("{}")}); err != nil {
			r.Fatal(err)
		}
		r.until("the reply is stored", func() bool { return r.stored("REDOX_REPLIES") == 1 })
		stop()
		r.start(worker.Config{Ring: k.open()})
		if e := r.awaitSettled("big"); e.Settlement != outbox.Delivered {
			r.Errorf("settled %s", e.Settlement)
		}
		reply, err := p.Await(r.Context(), "redox.reply.clinic-a.big")
		if err != nil || !bytes.Equal(reply.Body, big) {
			r.Errorf("%v, %v", reply, err)
		}
	})
}

// Nor when the worker that stored it was not told so, and repeats that.
func TestSealed_AReplyIsSealedOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		big := bytes.Repeat([]byte("x"), 2<<20)
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 200, Body: big}, nil
		}
		k := r.keys()
		if err := r.js.DeleteStream(r.Context(), "REDOX_REPLIES"); err != nil {
			r.Fatal(err)
		}
		r.start(worker.Config{Ring: k.open()})
		p := r.sealer(k.open())
		if _, err := p.Publish(r.Context(), outbox.Message{ID: "big", Source: source, Lane: contract.LaneSend, ReplyTo: "redox.reply.clinic-a.big", Body: []byte("{}")}); err != nil {
			r.Fatal(err)
		}
		bubble.Sleep(time.Minute) // it is tried again and again
		r.provision()
		r.awaitSettled("big")
		reply, err := p.Await(r.Context(), "redox.reply.clinic-a.big")
		if err != nil || !bytes.Equal(reply.Body, big) {
			r.Errorf("%v, %v", reply, err)
		}
		names := map[string]bool{} // of objects that are not deleted
		store, err := r.js.Stream(r.Context(), "OBJ_REDOX_BODIES")
		if err != nil {
			r.Fatal(err)
		}
		info, err := store.Info(r.Context(), jetstream.WithSubjectFilter("$O.REDOX_BODIES.M.>"))
		if err != nil {
			r.Fatal(err)
		}
		for subject := range info.State.Subjects {
			names[subject] = true
		}
		if len(names) != 1 {
			r.Errorf("%d objects, want that of the reply", len(names))
		}
	})
}

// Where all must be sealed, a reply in the clear that somebody else has put there is refused, by who awaits it and by who reads
// all; a worker's own is not, nor that to a message which was refused for not being sealed.
func TestSealed_AReplyInTheClearIsRefused(t *testing.T) {
	inBubble(t, func(r *rig) {
		k := r.keys()
		r.start(worker.Config{Ring: k.open(), RequireSeal: true})
		subject := func(id string) string { return "redox.reply." + source + "." + id }
		forged := outbox.Reply{MessageID: "forged", Settlement: outbox.Delivered, Status: 200, ContentType: "text/plain", Body: []byte("forged")}
		_, err := r.js.PublishMsg(r.Context(), forged.Encode(subject("forged")))
		r.must(err)
		forged.MessageID, forged.Settlement = "forged-poison", outbox.Poison
		_, err = r.js.PublishMsg(r.Context(), forged.Encode(subject("forged-poison")))
		r.must(err)
		r.publish(outbox.Message{ID: "unsealed", ReplyTo: subject("unsealed")})
		for _, require := range []bool{false, true} {
			p, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{Ring: k.open(), RequireSeal: require})
			r.must(err)
			for _, id := range []string{"forged", "forged-poison"} {
				got, err := p.Await(r.Context(), subject(id))
				if errors.Is(err, outbox.ErrUnsealedReply) != (require && id == "forged") || require == (string(got.Body) == "forged" || got.ContentType == "text/plain") {
					t.Errorf("require %t: %s: %q of type %q, %v", require, id, got.Body, got.ContentType, err)
				}
			}
			if got, err := p.Request(r.Context(), outbox.Message{ID: fmt.Sprint("own-", require), Source: source, ReplyTo: subject(fmt.Sprint("own-", require)), Body: []byte("{}")}); err != nil || !got.OK() {
				t.Errorf("require %t: its own: %v, %v", require, got, err)
			}
			if got, err := p.Await(r.Context(), subject("unsealed")); err != nil || got.Settlement != outbox.Poison {
				t.Errorf("require %t: of poison: %v, %v", require, got, err)
			}
		}
		replies, err := outbox.NewReplies(r.js, outbox.RepliesConfig{Source: source, Ring: k.open(), RequireSeal: true})
		r.must(err)
		read := 0
		for got, err := range replies.All(r.Context()) {
			if errors.Is(err, outbox.ErrUnsealedReply) != (got.MessageID == "forged") || err != nil && len(got.Body) > 0 || string(got.Body) == "forged" {
				t.Errorf("%v, %v", got, err)
			}
			if read++; read == 5 {
				break
			}
		}
	})
}
