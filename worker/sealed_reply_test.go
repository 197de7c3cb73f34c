package worker_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
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
		if _, err := p.Publish(r.Context(), outbox.Message{ID: "big", Source: source, Lane: outbox.LaneSend, ReplyTo: "redox.reply.clinic-a.big", Body: []byte("{}")}); err != nil {
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
		if _, err := p.Publish(r.Context(), outbox.Message{ID: "big", Source: source, Lane: outbox.LaneSend, ReplyTo: "redox.reply.clinic-a.big", Body: []byte("{}")}); err != nil {
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
