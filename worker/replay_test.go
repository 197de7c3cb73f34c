package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// dead is an operator's view on the rig's dead letters.
func (r *rig) dead() *dlq.Store {
	r.Helper()
	d, err := dlq.New(r.js, dlq.Config{})
	if err != nil {
		r.Fatal(err)
	}
	return d
}

// replayAll sends all dead letters again and answers what Replay yields.
func (r *rig) replayAll(d *dlq.Store, q dlq.Query) []dlq.Handled {
	r.Helper()
	s, err := d.Select(r.Context(), q)
	if err != nil {
		r.Fatal(err)
	}
	var all []dlq.Handled
	for h, err := range d.Replay(r.Context(), s, dlq.ReplayOptions{}) {
		if err != nil {
			r.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

// Dead letters of an hour ago, and of a moment ago, are delivered by their replay; and the
// replay of a replay counts on.
func TestReplay_IsDelivered(t *testing.T) {
	inBubble(t, func(r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.rejecting(func(string) bool { return broken.Load() })
		r.start(worker.Config{})
		d := r.dead()
		r.publish(outbox.Message{ID: "old"})
		r.awaitSettled("old")
		bubble.Sleep(time.Hour)
		r.publish(outbox.Message{ID: "new"})
		r.awaitSettled("new")
		for _, h := range r.replayAll(d, dlq.Query{}) {
			if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Rejected {
				t.Errorf("%s: %s", h.ReplayID, e.Settlement)
			}
			if s, ok, err := d.Settled(r.Context(), h); s != outbox.Rejected || !ok || err != nil {
				t.Errorf("%s: settled %s, %v, %v", h.ReplayID, s, ok, err)
			}
		}
		broken.Store(false)
		var ids []string
		for _, h := range r.replayAll(d, dlq.Query{}) {
			ids = append(ids, h.ReplayID)
			if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Delivered {
				t.Errorf("%s: %s", h.ReplayID, e.Settlement)
			}
		}
		if slices.Sort(ids); strings.Join(ids, " ") != "new:r2 old:r2" {
			t.Errorf("%v", ids)
		}
		if n := len(r.deadLetters()); n != 0 {
			t.Errorf("%d dead letters are left", n)
		}
	})
}

// With hold: the mended messages of a token and those that waited behind them arrive in
// their old order in one run, and what is published meanwhile comes after them.
func TestReplay_BehindADeadLetterInOneRun(t *testing.T) {
	inBubble(t, func(r *rig) {
		var broken atomic.Bool
		broken.Store(true)
		r.rejecting(func(id string) bool { return id == "a00" && broken.Load() })
		r.start(worker.Config{HoldAfterDeadLetter: true})
		const key, n = "patient a", 12
		for i := range n {
			r.ordered(fmt.Sprintf("a%02d", i), key)
		}
		r.awaitSettled(fmt.Sprintf("a%02d", n-1))
		broken.Store(false)
		d := r.dead()
		held := dlq.Query{Settlements: []outbox.Settlement{outbox.Held}}
		for _, h := range r.replayAll(d, held) {
			if h.Outcome != dlq.Behind {
				t.Errorf("%s was sent before the one that holds it: %s", h.MessageID, h.Outcome)
			}
		}
		for _, h := range r.replayAll(d, dlq.Query{}) {
			if e := r.awaitSettled(h.ReplayID); e.Settlement != outbox.Delivered {
				t.Errorf("%s: %s (%s)", h.ReplayID, e.Settlement, e.Error)
			}
		}
		r.ordered("b", key)
		if e := r.awaitSettled("b"); e.Settlement != outbox.Delivered {
			t.Errorf("b: %s (%s): the token is still held", e.Settlement, e.Error)
		}
		want := []string{"a00"}
		for i := range n {
			want = append(want, fmt.Sprintf("a%02d:r1", i))
		}
		if got := r.sent(); !slices.Equal(got, append(want, "b")) {
			t.Errorf("sent %v", got)
		}
	})
}

// undeleting is a JetStream on which deleting a message fails: a replay on it ends as one
// that is killed between publish and delete.
type undeleting struct{ jetstream.JetStream }

type undeletable struct{ jetstream.Stream }

var errKilled = errors.New("killed")

func (u undeleting) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := u.JetStream.Stream(ctx, name)
	return undeletable{s}, err
}

func (undeletable) DeleteMsg(context.Context, uint64) error { return errKilled }

// A replay is killed before it has deleted the dead letter. An hour later, when the queue
// remembers no id and the message is long delivered, or dead again, it is run again: nothing
// is sent twice.
func TestReplay_KilledAnHourAgo(t *testing.T) {
	for name, mended := range map[string]bool{"delivered": true, "rejected again": false} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				var broken atomic.Bool
				broken.Store(true)
				r.rejecting(func(string) bool { return broken.Load() })
				r.start(worker.Config{})
				r.publish(outbox.Message{ID: "m"})
				r.awaitSettled("m")
				broken.Store(!mended)
				killed, err := dlq.New(undeleting{r.js}, dlq.Config{})
				if err != nil {
					t.Fatal(err)
				}
				s, err := killed.Select(r.Context(), dlq.Query{})
				if err != nil {
					t.Fatal(err)
				}
				for _, err := range killed.Replay(r.Context(), s, dlq.ReplayOptions{}) {
					if !errors.Is(err, errKilled) {
						t.Fatalf("it was not killed: %v", err)
					}
				}
				r.awaitSettled("m:r1")
				bubble.Sleep(time.Hour)
				handled := r.replayAll(r.dead(), dlq.Query{IDs: []string{"m"}})
				if len(handled) != 1 || handled[0].Outcome != dlq.AlreadyReplayed || handled[0].ReplayID != "m:r1" {
					t.Errorf("%+v", handled)
				}
				bubble.Sleep(time.Minute)
				if sent := r.sent(); !slices.Equal(sent, []string{"m", "m:r1"}) {
					t.Errorf("sent %v", sent)
				}
				if n := len(r.deadLetters()); n != map[bool]int{true: 0, false: 1}[mended] {
					t.Errorf("%d dead letters", n)
				}
			})
		})
	}
}

// However slow the pace is, waiting for it does not count against the time that a dead
// letter may take.
func TestReplay_AtASlowPace(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.rejecting(func(id string) bool { return !strings.HasSuffix(id, ":r1") })
		r.start(worker.Config{})
		for i := range 5 {
			r.awaitSettled(r.publish(outbox.Message{ID: fmt.Sprint("m", i)}))
		}
		d := r.dead()
		s, err := d.Select(r.Context(), dlq.Query{})
		if err != nil {
			t.Fatal(err)
		}
		var turns atomic.Int64
		pace := func(context.Context) error {
			bubble.Sleep(time.Duration(turns.Add(1)) * time.Hour)
			return nil
		}
		n := 0
		for h, err := range d.Replay(r.Context(), s, dlq.ReplayOptions{Pace: pace}) {
			if err != nil || h.Outcome != dlq.Replayed {
				t.Errorf("%+v, %v", h, err)
			}
			n++
		}
		if n != 5 || turns.Load() != 5 {
			t.Errorf("%d replayed in %d turns", n, turns.Load())
		}
	})
}

// Who asks again with the id of a message that was rejected gets the answer to its replay.
func TestReplay_ItsReplyNamesTheFirstMessage(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.rejecting(func(id string) bool { return id != "a-1:r2" })
		r.start(worker.Config{})
		p, err := outbox.NewPublisher(r.js, outbox.PublisherConfig{})
		if err != nil {
			t.Fatal(err)
		}
		m := outbox.Message{ID: "a-1", Source: source, Lane: contract.LaneSend, ReplyTo: "redox.reply.clinic-a.a-1", Body: []byte(`{}`)}
		for n, want := range []outbox.Reply{
			{MessageID: "a-1", Settlement: outbox.Rejected},
			{MessageID: "a-1:r1", ReplayOf: "a-1", Settlement: outbox.Rejected},
			{MessageID: "a-1:r2", ReplayOf: "a-1", Settlement: outbox.Delivered},
		} {
			if n > 0 {
				r.replayAll(r.dead(), dlq.Query{})
				r.awaitSettled(want.MessageID)
			}
			got, err := p.Request(r.Context(), m)
			if err != nil || got.MessageID != want.MessageID || got.ReplayOf != want.ReplayOf || got.Settlement != want.Settlement {
				t.Errorf("after %d replays: %+v, %v", n, got, err)
			}
			bubble.Sleep(time.Hour) // the queue has forgotten the id
		}
		if n := len(r.far.Calls()); n != 3 {
			t.Errorf("sent %d times, want once each", n)
		}
	})
}
