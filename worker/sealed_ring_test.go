package worker_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// A ring that goes away pauses everything: nothing is sent, answered, buried or counted, whether a message is
// sealed or not, until it is back.
func TestSealed_ARingThatGoesAway(t *testing.T) {
	inBubble(t, func(r *rig) {
		k := r.keys()
		elsewhere := seal.NewRing(k.Keys) // the publisher's is another file
		r.start(worker.Config{Ring: k.open()})
		p := r.sealer(elsewhere)
		publish := func(from, to int) {
			r.Helper()
			for i := from; i < to; i++ {
				if _, err := p.Publish(r.Context(), outbox.Message{ID: fmt.Sprint("m-", i), Source: source, Body: []byte("{}"), OrderKey: fmt.Sprint(i % 3)}); err != nil {
					r.Fatal(err)
				}
			}
		}
		publish(0, 10)
		r.until("the first are settled", func() bool { return len(r.all(worker.EventSettled)) == 10 })
		if err := os.Remove(k.path); err != nil {
			r.Fatal(err)
		}
		bubble.Sleep(2 * time.Second)
		publish(10, 30)
		r.publish(outbox.Message{ID: "unsealed"})
		r.publish(outbox.Message{ID: "poison", ReplyTo: "$SYS.x"})
		bubble.Sleep(10 * time.Minute)
		if sent, waits, dead := len(r.far.Calls()), r.stored("REDOX_OUT"), r.stored("REDOX_DLQ"); sent != 10 || waits != 22 || dead != 0 {
			r.Errorf("without a ring: %d sent, %d wait, %d dead", sent, waits, dead)
		}
		k.write()
		for i := 10; i < 30; i++ {
			if e := r.awaitSettled(fmt.Sprint("m-", i)); e.Settlement != outbox.Delivered {
				r.Errorf("%+v", e)
			}
		}
		r.awaitSettled("unsealed")
	})
}

// A worker that has no ring leaves sealed messages where they are, and sends the others.
func TestSealed_WithoutARing(t *testing.T) {
	inBubble(t, func(r *rig) {
		_, stop := r.launch(worker.Config{})
		k := r.keys()
		if _, err := r.sealer(k.open()).Publish(r.Context(), outbox.Message{ID: "sealed", Source: source, Body: []byte("{}")}); err != nil {
			r.Fatal(err)
		}
		r.publish(outbox.Message{ID: "unsealed"})
		r.awaitSettled("unsealed")
		bubble.Sleep(5 * time.Minute)
		if _, settled := r.settled("sealed"); settled || len(r.far.Of("sealed")) > 0 {
			r.Error("it is settled or sent")
		}
		stop()
		r.start(worker.Config{Ring: k.open()})
		if e := r.awaitSettled("sealed"); e.Settlement != outbox.Delivered {
			r.Errorf("%+v", e)
		}
	})
}

// Under load a key is added to the ring of publishers and workers, then the old one is shredded when nothing
// is left that it sealed: nothing is lost or held.
func TestSealed_RotationUnderLoad(t *testing.T) {
	inBubble(t, func(r *rig) {
		k := r.keys()
		theirs := r.keys() // the publishers' file, which is replaced later than that of the workers
		theirs.Keys = k.Keys
		theirs.write()
		r.start(worker.Config{Ring: k.open()})
		p, old := r.sealer(theirs.open()), k.List()[0].ID
		const n, steps = 600, 6
		for i := range n {
			if i%(n/steps) == 0 {
				switch i / (n / steps) {
				case 1:
					k.Keys, _ = k.With(time.Now(), time.Now().Add(10*time.Minute))
					k.write()
				case 2:
					theirs.Keys = k.Keys
					theirs.write()
				case 4:
					r.until("all of the old key is settled", func() bool { return len(r.all(worker.EventSettled)) == i })
					var err error
					if k.Keys, err = k.Shred(old, time.Now()); err != nil {
						r.Fatal(err)
					}
					k.write()
				}
				bubble.Sleep(5 * time.Minute)
			}
			if _, err := p.Publish(r.Context(), outbox.Message{ID: fmt.Sprint("m-", i), Source: source, Body: []byte("{}")}); err != nil {
				r.Fatal(err)
			}
		}
		r.until("all are settled", func() bool { return len(r.all(worker.EventSettled)) == n })
		for _, e := range r.all(worker.EventSettled) {
			if e.Settlement != outbox.Delivered {
				r.Errorf("%+v", e)
			}
		}
	})
}
