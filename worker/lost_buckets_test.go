package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func (r *rig) bucket(name string) jetstream.KeyValue {
	r.Helper()
	kv, err := r.js.KeyValue(r.Context(), name)
	if err != nil {
		r.Fatal(err)
	}
	return kv
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// garble writes garbage into every key of a bucket that begins with a prefix, and reports how
// many there were.
func (r *rig) garble(name, prefix string) int {
	r.Helper()
	kv := r.bucket(name)
	keys, err := kv.Keys(r.Context())
	r.must(err)
	n := 0
	for _, key := range keys {
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			_, err := kv.Put(r.Context(), key, []byte("{\x00garbage"))
			r.must(err)
			n++
		}
	}
	return n
}

func (r *rig) purge(stream string) {
	r.Helper()
	s, err := r.js.Stream(r.Context(), stream)
	r.must(err)
	r.must(s.Purge(r.Context()))
}

// ledgerLosses are what can become of what the ledger knows of a message.
var ledgerLosses = map[string]func(r *rig){
	"damaged": func(r *rig) {
		if n := r.garble("REDOX_LEDGER", source+"."); n != 1 {
			r.Fatalf("%d entries", n)
		}
	},
	"purged":    func(r *rig) { r.purge("KV_REDOX_LEDGER") },
	"made anew": func(r *rig) { r.must(r.js.DeleteKeyValue(r.Context(), "REDOX_LEDGER")); r.provision() },
	"gone for a while": func(r *rig) {
		r.must(r.js.DeleteKeyValue(r.Context(), "REDOX_LEDGER"))
		bubble.Sleep(time.Minute)
		r.provision()
	},
}

// Under hold a message that was in somebody's hand is not sent again when the ledger has lost
// what it knew; without hold it is, as a possible duplicate.
func TestLedger_LostUnderAMessage(t *testing.T) {
	for name, lose := range ledgerLosses {
		for _, hold := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", hold", false: ", resend"}[hold], func(t *testing.T) {
				inBubble(t, func(r *rig) {
					r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
						if n == 1 {
							return outbox.Answer{Status: 503}, worker.RetryAfter(errFar, 20*time.Second)
						}
						return outbox.Answer{Status: 200}, nil
					}
					c := worker.Config{}
					if hold {
						c.Sources = holding
					}
					stop := r.start(c)
					id := r.publish(outbox.Message{})
					r.until("tried", func() bool { return len(r.all(worker.EventRetry)) == 1 })
					stop()
					bubble.Sleep(time.Second)
					lose(r)
					r.start(c)
					e := r.awaitSettled(id)
					switch {
					case hold && (e.Settlement != outbox.Held || len(r.far.Of(id)) != 1):
						t.Errorf("settled %s after %d requests", e.Settlement, len(r.far.Of(id)))
					case !hold && (e.Settlement != outbox.Delivered || !e.PossibleDuplicate):
						t.Errorf("settled %s, possible duplicate %v", e.Settlement, e.PossibleDuplicate)
					}
					// What comes later is sent as ever.
					if e := r.awaitSettled(r.publish(outbox.Message{})); e.Settlement != outbox.Delivered {
						t.Errorf("the next is settled %s", e.Settlement)
					}
				})
			})
		}
	}
}

// A pause that an operator made is not ended by the loss of the key or bucket it is kept in.
func TestPauses_LostUnderAPause(t *testing.T) {
	for name, lose := range map[string]func(r *rig){
		"key deleted":      func(r *rig) { r.must(r.bucket("REDOX_STATE").Delete(r.Context(), "pauses")) },
		"key purged":       func(r *rig) { r.must(r.bucket("REDOX_STATE").Purge(r.Context(), "pauses")) },
		"key damaged":      func(r *rig) { r.garble("REDOX_STATE", "pauses") },
		"bucket purged":    func(r *rig) { r.purge("KV_REDOX_STATE") },
		"bucket made anew": func(r *rig) { r.must(r.js.DeleteKeyValue(r.Context(), "REDOX_STATE")); r.provision() },
		"bucket gone for a while": func(r *rig) {
			r.must(r.js.DeleteKeyValue(r.Context(), "REDOX_STATE"))
			bubble.Sleep(time.Minute)
			r.provision()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				pauses := worker.NewPauses(r.js, "", "test")
				r.start(worker.Config{})
				r.awaitSettled(r.publish(outbox.Message{}))
				r.must(pauses.Pause(r.Context(), source, 0, ""))
				bubble.Sleep(5 * time.Second)
				lose(r)
				bubble.Sleep(5 * time.Second)
				id := r.publish(outbox.Message{})
				bubble.Sleep(time.Minute)
				if n := len(r.far.Of(id)); n != 0 {
					t.Errorf("sent %d times while its source is paused", n)
				}
				list, err := pauses.List(r.Context())
				if err != nil || len(list) != 1 || list[0].Scope != "source:"+source {
					t.Errorf("paused: %v, %v", list, err)
				}
				_, err = pauses.Resume(r.Context(), source)
				r.must(err)
				r.awaitSettled(id)
			})
		})
	}
}

// A worker that starts and finds the pauses damaged clears them away when nobody knows them.
func TestPauses_DamagedBeforeTheStart(t *testing.T) {
	inBubble(t, func(r *rig) {
		_, err := r.bucket("REDOX_STATE").Put(r.Context(), "pauses", []byte("garbage"))
		r.must(err)
		r.start(worker.Config{})
		r.awaitSettled(r.publish(outbox.Message{}))
		pauses := worker.NewPauses(r.js, "", "test")
		r.until("pauses can be made", func() bool { return pauses.Pause(r.Context(), source, time.Minute, "") == nil })
	})
}

// When the note of what waits behind a dead letter is damaged, nothing of that order is sent
// before a person has looked; then all goes on.
func TestOrder_DamagedNoteOfADeadLetter(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.ID == "m1" {
				return outbox.Answer{Status: 400}, worker.Permanent(errFar)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{HoldAfterDeadLetter: true})
		r.ordered("m1", "patient")
		r.awaitSettled("m1")
		if n := r.garble("REDOX_LEDGER", "hold."); n != 1 {
			t.Fatalf("%d notes", n)
		}
		r.ordered("m2", "patient")
		r.ordered("m3", "patient")
		r.ordered("other", "another patient")
		for id, want := range map[string]outbox.Settlement{"m2": outbox.Held, "m3": outbox.Held, "other": outbox.Delivered} {
			if e := r.awaitSettled(id); e.Settlement != want {
				t.Errorf("%s is settled %s, want %s", id, e.Settlement, want)
			}
		}
		held, err := dlq.NewHeldTokens(r.js, "").List(r.Context())
		if err != nil || len(held) != 1 || held[0].Damaged || held[0].First != 2 || held[0].Last != 3 {
			t.Errorf("held: %+v, %v", held, err)
		}
	})
}
