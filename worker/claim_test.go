package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// put stores a body and returns its name.
func (r *rig) put(body []byte) string {
	r.Helper()
	name := contract.BodyName(source, outbox.NewID())
	if err := outbox.NewBodies(r.js, "").Put(r.Context(), name, body); err != nil {
		r.Fatal(err)
	}
	return name
}

// claimed stores a body and publishes a message that names it.
func (r *rig) claimed(m outbox.Message, body []byte) (id, object string) {
	r.Helper()
	object = r.put(body)
	return r.naming(m, object), object
}

// naming publishes a message that names an object.
func (r *rig) naming(m outbox.Message, object string) (id string) {
	r.Helper()
	m.BodyObject, m.Body = object, []byte{}
	return r.publish(m)
}

func (r *rig) has(object string) bool {
	r.Helper()
	_, err := outbox.NewBodies(r.js, "").Open(r.Context(), object, -1)
	if err != nil && !errors.Is(err, outbox.ErrBodyMissing) {
		r.Fatal(err)
	}
	return err == nil
}

// spoil takes the last part of every stored body away.
func (r *rig) spoil() {
	r.Helper()
	s, err := r.js.Stream(r.Context(), "OBJ_REDOX_BODIES")
	if err != nil {
		r.Fatal(err)
	}
	info, err := s.Info(r.Context(), jetstream.WithSubjectFilter("$O.REDOX_BODIES.C.>"))
	if err != nil {
		r.Fatal(err)
	}
	for subject := range info.State.Subjects {
		msg, err := s.GetLastMsgForSubject(r.Context(), subject)
		if err != nil {
			r.Fatal(err)
		}
		if err := s.DeleteMsg(r.Context(), msg.Sequence); err != nil {
			r.Fatal(err)
		}
	}
}

func large(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16) }

func TestRun_ClaimIsDeliveredAndItsObjectRemoved(t *testing.T) {
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		t.Run(string(lane), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				body := large(3 << 20)
				id, _ := r.claimed(outbox.Message{Lane: lane}, body)
				r.start(worker.Config{})
				if e := r.awaitSettled(id); e.Settlement != outbox.Delivered {
					t.Errorf("settled %s: %s", e.Settlement, e.Error)
				}
				if calls := r.far.Of(id); len(calls) != 1 || !bytes.Equal(calls[0].Body, body) {
					t.Errorf("%d calls, the body is not what was stored", len(calls))
				}
				if n := r.stored("OBJ_REDOX_BODIES"); n != 0 {
					t.Errorf("%d messages are left in the object store", n)
				}
			})
		})
	}
}

// A claim that no attempt can heal, by what is wrong with it.
func TestRun_ClaimThatCannotBeHad(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(r *rig, object string)
		want  outbox.Settlement
		keeps bool
	}{
		"missing": {func(r *rig, object string) {
			if err := outbox.NewBodies(r.js, "").Delete(r.Context(), object); err != nil {
				r.Fatal(err)
			}
		}, outbox.Held, false},
		"altered":   {func(r *rig, _ string) { r.spoil() }, outbox.Held, true},
		"too large": {func(*rig, string) {}, outbox.Poison, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				size := 1 << 20
				if name == "too large" {
					size += 16
				}
				id, object := r.claimed(outbox.Message{}, large(size))
				tt.spoil(r, object)
				r.start(worker.Config{MaxClaim: 1 << 20})
				if e := r.awaitSettled(id); e.Settlement != tt.want || !strings.HasPrefix(e.Error, "claim check: ") || strings.Contains(e.Error, object) {
					t.Errorf("settled %s: %s; want %s", e.Settlement, e.Error, tt.want)
				}
				if len(r.far.Calls()) != 0 {
					t.Error("it was sent")
				}
				letters := r.deadLetters()
				if len(letters) != 1 || letters[0].Header.Get(contract.HeaderBodyObject) != object || r.has(object) != tt.keeps {
					t.Errorf("%d dead letters; the object is there: %v, want %v", len(letters), r.has(object), tt.keeps)
				}
			})
		})
	}
}

func TestRun_ClaimOfAnotherSourceIsPoison(t *testing.T) {
	inBubble(t, func(r *rig) {
		object := contract.BodyName("clinic-b", "x")
		if err := outbox.NewBodies(r.js, "").Put(r.Context(), object, []byte(`{}`)); err != nil {
			r.Fatal(err)
		}
		msg, err := outbox.Message{ID: "m", Source: source}.Encode("")
		if err != nil {
			r.Fatal(err)
		}
		msg.Header.Set(contract.HeaderBodyObject, object)
		if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
			r.Fatal(err)
		}
		r.start(worker.Config{})
		if e := r.awaitSettled("m"); e.Settlement != outbox.Poison || len(r.far.Calls()) != 0 || !r.has(object) {
			t.Errorf("settled %s: %s, %d calls; the object is there: %v", e.Settlement, e.Error, len(r.far.Calls()), r.has(object))
		}
	})
}

// A dead letter keeps the object; a query whose caller is told has none.
func TestRun_ClaimOfWhatIsNotDelivered(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 400}, worker.Permanent(errors.New("no"))
		}
		inbox, _ := r.inbox()
		dead, kept := r.claimed(outbox.Message{}, large(1<<20))
		told, gone := r.claimed(outbox.Message{Lane: contract.LaneRequest, ReplyTo: inbox}, large(1<<20))
		r.start(worker.Config{})
		r.awaitSettled(dead)
		r.awaitSettled(told)
		if !r.has(kept) {
			t.Error("the object of a dead letter is gone")
		}
		if r.has(gone) {
			t.Error("the object of a query without a dead letter is left")
		}
	})
}

// A worker dead-letters a message and dies before it acknowledges; the next one brings
// the message through. The dead letter still has its body.
func TestRun_ClaimThatAnEarlierDeadLetterNames(t *testing.T) {
	inBubble(t, func(r *rig) {
		id, object := r.claimed(outbox.Message{ID: "m"}, large(1<<20))
		letter := dlq.Letter{MessageID: id, Source: source, Settlement: outbox.Rejected, At: time.Now(), Subject: "redox.out." + source + ".send", Sequence: 1}
		if _, err := r.js.PublishMsg(r.Context(), letter.Encode("")); err != nil {
			r.Fatal(err)
		}
		other, free := r.claimed(outbox.Message{ID: "n"}, large(1<<20))
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{Status: 503}, errors.New("not now")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		r.awaitSettled(id)
		r.awaitSettled(other)
		if !r.has(object) || r.has(free) {
			t.Errorf("the object that a dead letter names: %v, the other: %v", r.has(object), r.has(free))
		}
	})
}

// Whether an unknown outcome holds a message, its body tells.
func TestRun_ClaimHoldsByItsBody(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{}, worker.UnknownOutcome(errors.New("reset"))
			}
			return outbox.Answer{Status: 200}, nil
		}
		holds := func(m outbox.Message) bool { return bytes.HasPrefix(m.Body, []byte("Order")) }
		order, _ := r.claimed(outbox.Message{}, append([]byte("Order"), large(1<<20)...))
		other, _ := r.claimed(outbox.Message{}, large(1<<20))
		r.start(worker.Config{Sources: []worker.Source{{Name: source, Hold: holds}}})
		if e := r.awaitSettled(order); e.Settlement != outbox.Held || len(r.far.Of(order)) != 1 {
			t.Errorf("settled %s after %d calls, want held after one", e.Settlement, len(r.far.Of(order)))
		}
		if e := r.awaitSettled(other); e.Settlement != outbox.Delivered || len(r.far.Of(other)) != 2 {
			t.Errorf("settled %s after %d calls, want delivered after two", e.Settlement, len(r.far.Of(other)))
		}
	})
}

// dying publishes a message that its body holds, and has it delivered to a worker that
// dies while it sends it. It returns the key of its record in the ledger.
func (r *rig) dying(body []byte) (id, object, key string) {
	r.Helper()
	id, object = r.claimed(outbox.Message{ID: "dying"}, append([]byte("Order"), body...))
	consumer, err := r.consumer(source + "-send")
	if err != nil {
		r.Fatal(err)
	}
	lost, err := consumer.Next()
	if err != nil {
		r.Fatal(err)
	}
	meta, err := lost.Metadata()
	if err != nil {
		r.Fatal(err)
	}
	key = source + "." + contract.Prefix("").DeadToken(id, meta.Sequence.Stream)
	if _, err := r.js.Publish(r.Context(), "$KV.REDOX_LEDGER."+key, []byte(`{"started":1,"intent":true}`)); err != nil {
		r.Fatal(err)
	}
	if err := lost.NakWithDelay(5 * time.Second); err != nil {
		r.Fatal(err)
	}
	return id, object, key
}

// orders holds what is an order, by its body.
func orders() []worker.Source {
	return []worker.Source{{Name: source, Hold: func(m outbox.Message) bool { return bytes.HasPrefix(m.Body, []byte("Order")) }}}
}

// A worker died while it sent a message that its body holds.
func TestRun_ClaimWithAnIntentIsHeld(t *testing.T) {
	inBubble(t, func(r *rig) {
		id, object, _ := r.dying(large(1 << 20))
		r.start(worker.Config{Sources: orders()})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Calls()) != 0 || !r.has(object) {
			t.Errorf("settled %s: %s after %d calls; the object is there: %v", e.Settlement, e.Error, len(r.far.Calls()), r.has(object))
		}
	})
}

// As long as the body was not read nobody knows that it holds, and the intent stays noted:
// while it waits for room, and when NATS does not hand it out.
func TestRun_IntentOfAClaimIsNotForgotten(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			bubble.Sleep(time.Minute)
			return outbox.Answer{Status: 200}, nil
		}
		id, _, key := r.dying(large(1 << 20))
		other := contract.BodyName(source, "x")
		if err := outbox.NewBodies(r.js, "").Put(r.Context(), other, large(1<<20)); err != nil {
			r.Fatal(err)
		}
		r.naming(outbox.Message{ID: "other"}, other)
		ledger, err := r.js.KeyValue(r.Context(), "REDOX_LEDGER")
		if err != nil {
			r.Fatal(err)
		}
		noted := func() string {
			entry, err := ledger.Get(r.Context(), key)
			if err != nil {
				r.Fatal(err)
			}
			return string(entry.Value())
		}
		stop := r.start(worker.Config{Sources: orders(), MaxClaimMemory: 1 << 20, DrainTimeout: -1})
		r.until("the other is sent", func() bool { return len(r.far.Of("other")) == 1 })
		r.until("the start is noted", func() bool { return strings.Contains(noted(), `"started":2`) })
		if !strings.Contains(noted(), `"intent":true`) {
			t.Errorf("while it waits for room: %s", noted())
		}
		stop()
		if !strings.Contains(noted(), `"intent":true`) {
			t.Errorf("handed back unread: %s", noted())
		}
		r.start(worker.Config{Sources: orders()})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(r.far.Of(id)) != 0 {
			t.Errorf("settled %s: %s after %d calls", e.Settlement, e.Error, len(r.far.Of(id)))
		}
	})
}

// What is settled unsent is so without its body: it is not there, and nobody minds.
func TestRun_ClaimIsNotFetchedForNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.naming(outbox.Message{Deadline: time.Now().Add(time.Minute)}, contract.BodyName(source, "nowhere"))
		bubble.Sleep(2 * time.Minute)
		r.start(worker.Config{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Expired {
			t.Errorf("settled %s: %s; want expired", e.Settlement, e.Error)
		}
	})
}

// reads is a far side that reads files as streams and says how that went.
func reads(got *[]byte) func(context.Context, outbox.Message, int) (outbox.Answer, error) {
	return func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
		body, err := m.OpenBody(ctx)
		if err != nil {
			return outbox.Answer{}, err
		}
		defer func() { _ = body.Close() }()
		if *got, err = io.ReadAll(body); err != nil {
			return outbox.Answer{}, worker.UnknownOutcome(fmt.Errorf("the request broke off: %w", err))
		}
		if int64(len(*got)) != m.BodySize || len(m.Body) != 0 {
			return outbox.Answer{}, worker.Permanent(errors.New("sizes differ"))
		}
		return outbox.Answer{Status: 201}, nil
	}
}

func TestRun_FilesAreReadAsStreams(t *testing.T) {
	inBubble(t, func(r *rig) {
		var got []byte
		r.far.Answer = reads(&got)
		body := large(30 << 20)
		id, object := r.claimed(outbox.Message{Kind: outbox.KindFile, ContentType: "application/pdf"}, body)
		r.start(worker.Config{StreamFiles: true, MaxClaimMemory: 1}) // none of it is in memory
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || !bytes.Equal(got, body) || r.has(object) {
			t.Errorf("settled %s: %s, %d bytes; the object is there: %v", e.Settlement, e.Error, len(got), r.has(object))
		}
	})
}

// An altered file never arrives whole, and a person decides, whatever the far side's
// client makes of half a request.
func TestRun_AlteredFileIsHeld(t *testing.T) {
	inBubble(t, func(r *rig) {
		var got []byte
		r.far.Answer = reads(&got)
		body := large(1 << 20)
		id, _ := r.claimed(outbox.Message{Kind: outbox.KindFile, ContentType: "application/pdf"}, body)
		r.spoil()
		r.start(worker.Config{StreamFiles: true})
		if e := r.awaitSettled(id); e.Settlement != outbox.Held || len(got) == len(body) {
			t.Errorf("settled %s: %s; %d bytes were sent", e.Settlement, e.Error, len(got))
		}
	})
}
