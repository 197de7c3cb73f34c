package operate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

var errKilled = errors.New("killed")

// move moves what is astray of a source.
func (r *rig) move(from, to string) ([]string, error) {
	r.Helper()
	s, err := operate.FindStrays(r.Context(), r.js, "", operate.StrayQuery{Source: from, Serves: func(name string) bool { return name == to }})
	r.must(err)
	return tell(r.desk.MoveStrays(r.Context(), s, operate.Target{Source: to}, operate.StrayOptions{}))
}

// killAt ends the next run when it has passed a point so many times.
func (r *rig) killAt(point string, times int64) {
	var passed atomic.Int64
	r.desk.SetFault(func(at string) error {
		if at == point && passed.Add(1) == times {
			return errKilled
		}
		return nil
	})
}

// A run that was ended in between finds what it moved also where an operator has moved that on, or made a
// dead letter of it.
func TestStrays_WhatWasMovedOnIsNotMovedAgain(t *testing.T) {
	for _, bury := range []bool{false, true} {
		t.Run(fmt.Sprint(bury), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.store("redox.out.clinic-old.send", "Redox-Message-Id", "m")
				r.killAt("moved", 1)
				if _, err := r.move("clinic-old", "clinic-gone"); !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
				bubble.Sleep(11 * time.Minute)
				if s := r.strays(operate.StrayQuery{Source: "clinic-gone"}); bury {
					_, err := tell(r.desk.BuryStrays(r.Context(), s, operate.StrayOptions{}))
					r.must(err)
				} else {
					_, err := r.move("clinic-gone", source)
					r.must(err)
				}
				came, err := r.move("clinic-old", source)
				r.must(err)
				if r.want("again", came, "m already moved"); r.messages("REDOX_OUT")+r.messages("REDOX_DLQ") != 1 {
					t.Errorf("%d messages, %d dead letters", r.messages("REDOX_OUT"), r.messages("REDOX_DLQ"))
				}
			})
		})
	}
}

// A client that gives its own message the id or the mark of a copy has nobody's message taken for moved.
func TestStrays_AnotherMessageIsNotTheCopy(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.store("redox.out.clinic-gone.send", "Redox-Message-Id", "m")
		stream, err := r.js.Stream(r.Context(), "REDOX_OUT")
		r.must(err)
		msg, err := stream.GetMsg(r.Context(), 1)
		r.must(err)
		mark := ledger.Mark(outbox.Stored{Subject: msg.Subject, Sequence: msg.Sequence, Time: msg.Time})
		r.store("redox.out.clinic-b.send", "Redox-Message-Id", "forged", "Nats-Msg-Id", "moved:"+mark, "Redox-Moved", mark)
		came, err := r.move("clinic-gone", source)
		if err == nil || !strings.Contains(err.Error(), "the queue takes its copy for another message") || len(came) > 0 {
			t.Errorf("%q, %v", came, err)
		}
		r.must(ledger.New(r.js, "").NoteMoved(r.Context(), "clinic-b", nats.Header{contract.HeaderMoved: {mark}})) // its settlement
		bubble.Sleep(11 * time.Minute)
		came, err = r.move("clinic-gone", source)
		if r.must(err); r.messages("REDOX_OUT") != 2 {
			t.Errorf("%d messages", r.messages("REDOX_OUT"))
		}
		r.want("later", came, "m moved")
	})
}

// A run that waits for another knows what that stored anew to its end, and forgets nothing of one that goes
// on.
func TestStrays_AnotherRunIsKilledMeanwhile(t *testing.T) {
	inBubble(t, func(r *rig) {
		stream, err := r.js.Stream(r.Context(), "REDOX_OUT")
		r.must(err)
		cfg := stream.CachedInfo().Config
		cfg.Duplicates = 100 * time.Millisecond
		_, err = r.js.UpdateStream(r.Context(), cfg)
		r.must(err)
		for i := range 3 {
			r.store("redox.out.clinic-gone.send."+tokenA, "Redox-Message-Id", fmt.Sprint("m", i))
		}
		record, err := audit.NewRecorder(audit.NewStream(r.js, "").Deed, "bob@ops")
		r.must(err)
		other, err := operate.New(r.js, "", r.dead, record)
		r.must(err)
		found := r.strays(operate.StrayQuery{Source: "clinic-gone"})
		type outcome struct {
			came []string
			err  error
		}
		ended := make(chan outcome, 1)
		r.killAt("moved", 2)
		var last error
		for one, err := range r.desk.MoveStrays(r.Context(), found, operate.Target{Source: source}, operate.StrayOptions{}) {
			if last = err; one.ID != "m0" {
				continue
			}
			go func() {
				came, err := tell(other.MoveStrays(r.Context(), found, operate.Target{Source: source}, operate.StrayOptions{}))
				ended <- outcome{came, err}
			}()
			bubble.Sleep(3500 * time.Millisecond)
		}
		if !errors.Is(last, errKilled) {
			t.Error(last)
		}
		o := <-ended
		if r.must(o.err); r.messages("REDOX_OUT") != 3 {
			t.Errorf("%d messages", r.messages("REDOX_OUT"))
		}
		r.want("the other", o.came, "m1 already moved", "m2 moved")
	})
}

// What another run notes after it was read is not forgotten.
func TestStrays_WhatIsNotedSinceStays(t *testing.T) {
	inBubble(t, func(r *rig) {
		l := ledger.New(r.js, "")
		r.must(l.StoreMoving(r.Context(), "run", ledger.Moving{After: 1}))
		read, err := l.Movings(r.Context())
		r.must(err)
		r.must(l.StoreMoving(r.Context(), "run", ledger.Moving{After: 2}))
		r.must(l.ForgetMoving(r.Context(), "run", read["run"]))
		if read, err = l.Movings(r.Context()); err != nil || read["run"].After != 2 {
			t.Errorf("%+v, %v", read, err)
		}
		r.must(l.ForgetMoving(r.Context(), "run", read["run"]))
		if read, err = l.Movings(r.Context()); err != nil || len(read) != 0 {
			t.Errorf("%+v, %v", read, err)
		}
	})
}

// However many messages a run was about to move, what was stored since is looked through once.
func TestStrays_CopiesAreLookedForOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		const astray, others = 40, 50
		for i := range astray {
			r.store("redox.out.clinic-gone.send", "Redox-Message-Id", fmt.Sprint("m", i))
		}
		r.killAt("noted", 2)
		if _, err := r.move("clinic-gone", source); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		for range others {
			r.store("redox.out.clinic-a.send")
		}
		var asked atomic.Int64
		sub, err := r.js.Conn().Subscribe("$JS.API.STREAM.MSG.GET.REDOX_OUT", func(*nats.Msg) { asked.Add(1) })
		r.must(err)
		came, err := r.move("clinic-gone", source)
		r.must(err)
		r.must(sub.Unsubscribe())
		if n := asked.Load(); len(came) != astray-1 || n > 2*(astray+others) {
			t.Errorf("%d moved, %d questions", len(came), n)
		}
	})
}

// A loop that is left while a step has failed is not gone on with.
func TestStrays_ALoopMayBeLeftWhenAStepFails(t *testing.T) {
	inBubble(t, func(r *rig) {
		for i := range 4 {
			r.store("redox.out.clinic-gone.send."+tokenA, "Redox-Message-Id", fmt.Sprint("m", i))
		}
		r.killAt("moved", 3)
		n := 0
		for _, err := range r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{Source: "clinic-gone"}), operate.Target{Source: source}, operate.StrayOptions{}) {
			r.must(err)
			if n++; n == 2 { // of the batch that fails
				break
			}
		}
		// The same where the note of the run cannot be removed any more.
		for range r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{Source: "clinic-gone"}), operate.Target{Source: source}, operate.StrayOptions{}) {
			r.must(r.js.DeleteStream(context.WithoutCancel(r.Context()), "KV_REDOX_LEDGER"))
			break
		}
	})
}
