package operate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

const (
	tokenA = "0123456789abcdef0123456789abcdef"
	tokenB = "fedcba9876543210fedcba9876543210"
	admits = `{"Meta":{"DataModel":"PatientAdmin","EventType":"NewPatient"}}`
)

// store puts a message under any subject, with headers in pairs.
func (r *rig) store(subject string, headers ...string) {
	r.Helper()
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: []byte(admits)}
	for i := 0; i < len(headers); i += 2 {
		msg.Header[headers[i]] = []string{headers[i+1]}
	}
	_, err := r.js.PublishMsg(r.Context(), msg)
	r.must(err)
}

// strays are those that are astray where workers serve one source alone.
func (r *rig) strays(q operate.StrayQuery) operate.Strays {
	r.Helper()
	q.Serves = func(name string) bool { return name == source }
	s, err := operate.FindStrays(r.Context(), r.js, "", q)
	r.must(err)
	return s
}

// tell is what becomes of messages, one after the other, and the error.
func tell(run func(func(operate.Strayed, error) bool)) (came []string, last error) {
	for one, err := range run {
		if last = err; err == nil {
			text := fmt.Sprint(one.ID, " ", one.Outcome)
			if one.Reason != "" {
				text += ": " + one.Reason
			}
			came = append(came, text)
		}
	}
	return came, last
}

func (r *rig) messages(stream string) int {
	r.Helper()
	s, err := r.js.Stream(r.Context(), stream)
	r.must(err)
	return int(s.CachedInfo().State.Msgs)
}

func (r *rig) want(what string, got []string, want ...string) {
	r.Helper()
	if !slices.Equal(got, want) {
		r.Errorf("%s:\n %s\nwant\n %s", what, strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// astray stores what nobody reads, beside what is read.
func (r *rig) astray() {
	r.Helper()
	gone := "redox.out.clinic-gone."
	r.store(gone+"send.1"+tokenA[1:], "Redox-Message-Id", "a1", "Nats-Msg-Id", "x")
	r.store(gone+"send", "Nats-Msg-Id", "plain")
	r.store(gone + "send") // number 3, and no id
	r.store(gone+"send.1"+tokenA[1:], "Redox-Message-Id", "a2", "My-Own", "kept")
	r.store(gone+"send."+tokenB, "Redox-Message-Id", "b1", "Redox-Reply-To", "redox.reply.clinic-gone.x")
	r.store(gone+"send."+tokenB, "Redox-Message-Id", "b2", "Redox-Reply-To", "_INBOX.x")
	r.store(gone+"request", "Redox-Message-Id", "sealed", "Redox-Seal", "v1.k.x", "Redox-Sealed", "x")
	r.store(gone+"request", "Redox-Message-Id", "q", "Redox-Kind", "fhir", "Redox-Path", "x/Patient")
	r.store("redox.out.clinic-a.ordered", "Redox-Message-Id", "o1")
	r.store("redox.out.clinic-a.ordered."+tokenB, "Redox-Message-Id", "o2")
	r.store("redox.out.MRN 4711.send"[:13]+".send", "Redox-Message-Id", "s")
	r.store("redox.out.clinic-a.request.4711", "Redox-Message-Id", "p")
	r.store("redox.out.clinic-a.send", "Redox-Message-Id", "fine")
}

// What no worker reads is listed with the reason, nothing of a subject that may be a patient's, and what
// somebody reads is not among it.
func TestStrays_AreFound(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.astray()
		s := r.strays(operate.StrayQuery{})
		var kinds []string
		for _, k := range s.Kinds {
			kinds = append(kinds, fmt.Sprint(k.Subject, " ", k.Messages, " of ", k.Subjects, ": ", k.Why))
		}
		noLane := "its subject has no lane: a worker reads send, send.<token> and request"
		r.want("kinds", kinds, "redox.out.clinic-gone.send.* 4 of 2: no worker serves clinic-gone", "redox.out.clinic-gone.request 2 of 1: no worker serves clinic-gone", "redox.out.clinic-gone.send 2 of 1: no worker serves clinic-gone",
			"redox.out.clinic-a.ordered 1 of 1: "+noLane, "redox.out.clinic-a.ordered.… 1 of 1: "+noLane, "redox.out.clinic-a.request.… 1 of 1: "+noLane,
			"redox.out.….send 1 of 1: its subject names no source")
		if s.Messages != 12 || s.Ordered != 4 || len(s.Unlearned) > 0 || s.Kinds[0].Oldest.IsZero() {
			t.Errorf("%+v", s)
		}
		if s, err := operate.FindStrays(r.Context(), r.js, "", operate.StrayQuery{}); err != nil || s.Messages != 4 || len(s.Unlearned) != 1 {
			t.Errorf("nobody knows who serves what: %+v, %v", s, err)
		}
		r.store("redox.out.clinic-a.mueller")
		for _, k := range r.strays(operate.StrayQuery{Source: source}).Kinds {
			if strings.Contains(k.Subject, "mueller") {
				t.Errorf("%+v", k)
			}
		}
		for _, bad := range []operate.StrayQuery{{Source: "x", Subject: "redox.out.x.y"}, {Source: "X"}, {Subject: "redox.dlq.>"}, {Subject: "redox.out..x"}} {
			if _, err := operate.FindStrays(r.Context(), r.js, "", bad); err == nil {
				t.Errorf("%+v", bad)
			}
		}
	})
}

// They are moved with their ids, headers and order; what cannot go there stays and says why; a dry run
// says the same and changes nothing.
func TestStrays_AreMoved(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.astray()
		to := operate.Target{Source: source}
		reply := "b1 left: its reply subject belongs to clinic-gone: move it without a reply, or dead-letter it"
		sealed := "sealed left: it is sealed for its source, and none but clinic-gone can open it: dead-letter it"
		want := []string{"a1 moved", "plain moved", "REDOX_OUT:3 moved", "a2 moved", reply, "b2 left: one of its order that is before it stays", sealed, "q moved"}
		came, err := tell(r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{Source: "clinic-gone"}), to, operate.StrayOptions{DryRun: true}))
		r.must(err)
		r.want("dry run", came, want...)
		if n := r.messages("REDOX_OUT"); n != 13 || len(r.entries(audit.Query{})) != 0 {
			t.Errorf("a dry run: %d messages", n)
		}
		came, err = tell(r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{Source: "clinic-gone"}), to, operate.StrayOptions{Reason: "renamed"}))
		r.must(err)
		r.want("moved", came, want...)
		came, err = tell(r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{}), operate.Target{Source: source, DropReplies: true}, operate.StrayOptions{}))
		r.must(err)
		noLane := " left: its subject has no lane: say which it is to have"
		r.want("the rest, without a lane", came, "b1 moved", "b2 moved", sealed, "o1"+noLane, "o2"+noLane, "s moved", "p"+noLane)
		came, err = tell(r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{}), operate.Target{Lane: contract.LaneSend}, operate.StrayOptions{}))
		r.must(err)
		r.want("the rest", came, "sealed left: it would be astray again: no worker serves clinic-gone", "o1 moved", "o2 moved", "p moved")
		stream, err := r.js.Stream(r.Context(), "REDOX_OUT")
		r.must(err)
		a2, err := stream.GetLastMsgForSubject(r.Context(), "redox.out.clinic-a.send.1"+tokenA[1:])
		r.must(err)
		if a2.Header.Get("My-Own") != "kept" || a2.Header.Get("Redox-Message-Id") != "a2" || string(a2.Data) != admits {
			t.Errorf("%v %s", a2.Header, a2.Data)
		}
		r.start()
		at := func(id string) int { return slices.Index(r.delivered(), id) }
		if got := slices.Sorted(slices.Values(r.delivered())); !slices.Equal(got, []string{"REDOX_OUT:3", "a1", "a2", "b1", "b2", "fine", "o1", "o2", "p", "plain", "q", "s"}) || at("a1") > at("a2") || at("b1") > at("b2") || at("b2") > at("o2") {
			t.Errorf("sent %q", r.delivered())
		}
		deeds := r.entries(audit.Query{Actions: []audit.Action{audit.Move}})
		if len(deeds) != 6 || deeds[0].Count != 8 || deeds[0].Reason != "renamed" || deeds[0].Detail != "to clinic-a" || deeds[1].Counts["moved"] != 5 || deeds[1].Counts["left"] != 3 || len(deeds[1].IDs["clinic-gone"]) != 5 {
			t.Errorf("%+v", deeds)
		}
		if n := r.strays(operate.StrayQuery{}).Messages; n != 1 || r.messages("REDOX_OUT") != 1 {
			t.Errorf("%d are left", n)
		}
	})
}

// Ended at any point, also of the worker's delivery, and gone on with at once or an hour later: each
// message is sent once, and becomes one dead letter.
func TestStrays_AnyPointIsGoneOnFrom(t *testing.T) {
	killed := errors.New("killed")
	for _, c := range []struct {
		point     string
		later     time.Duration
		delivered bool // meanwhile
	}{{"noted", time.Second, false}, {"noted", 11 * time.Minute, true}, {"moved", time.Second, true}, {"moved", 11 * time.Minute, false}, {"moved", 11 * time.Minute, true}, {"buried", 11 * time.Minute, false}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inBubble(t, func(r *rig) {
				for i := range 6 {
					r.store("redox.out.clinic-gone.send."+tokenA, "Redox-Message-Id", fmt.Sprint("m", i))
					r.store("redox.out.clinic-gone.send", "Redox-Message-Id", fmt.Sprint("n", i))
				}
				run := func() error {
					s := r.strays(operate.StrayQuery{Source: "clinic-gone"})
					if c.point == "buried" {
						_, err := tell(r.desk.BuryStrays(r.Context(), s, operate.StrayOptions{}))
						return err
					}
					_, err := tell(r.desk.MoveStrays(r.Context(), s, operate.Target{Source: source}, operate.StrayOptions{}))
					return err
				}
				var passed atomic.Int64
				r.desk.SetFault(func(at string) error {
					if at != c.point {
						return nil
					}
					if n := passed.Add(1); n == 2 || n == 4 {
						return killed
					}
					return nil
				})
				if c.delivered {
					r.start()
				}
				for tries := 0; ; tries++ {
					err := run()
					if err == nil {
						break
					}
					if !errors.Is(err, killed) || tries > 20 {
						t.Fatal(err)
					}
					bubble.Sleep(c.later)
				}
				if passed.Load() < 5 {
					t.Error("it was not ended in between")
				}
				if r.start(); c.point == "buried" {
					if n := r.choose().Len(); n != 12 || len(r.delivered()) != 0 {
						t.Errorf("%d dead letters, %q sent", n, r.delivered())
					}
					return
				}
				var ordered []string
				for _, id := range r.delivered() {
					if id[0] == 'm' {
						ordered = append(ordered, id)
					}
				}
				if r.want("sent in order", ordered, "m0", "m1", "m2", "m3", "m4", "m5"); len(r.delivered()) != 12 {
					t.Errorf("sent %q", r.delivered())
				}
			})
		})
	}
}

// Their dead letters say why, and can be shown, and exist once.
func TestStrays_AreBuried(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.astray()
		came, err := tell(r.desk.BuryStrays(r.Context(), r.strays(operate.StrayQuery{}), operate.StrayOptions{}))
		if err != nil || len(came) != 12 || r.messages("REDOX_OUT") != 1 {
			t.Errorf("%q, %v", came, err)
		}
		for id, want := range map[string]string{"a1": "held no worker serves clinic-gone; taken out of the queue by an operator", "p": "poison its subject has no lane: a worker reads send, send.<token> and request; taken out of the queue by an operator"} {
			all, err := r.dead.Get(r.Context(), "", id)
			r.must(err)
			if got := fmt.Sprint(all[0].Settlement, " ", all[0].Error); got != want || string(all[0].Body) != admits {
				t.Errorf("%s: %s, %s", id, got, all[0].Body)
			}
		}
	})
}

// Whoever reads the lane keeps it: a worker that had messages a moment ago, and another run.
func TestStrays_NobodysMessagesAreTaken(t *testing.T) {
	inBubble(t, func(r *rig) {
		for range 3 {
			r.store("redox.out.clinic-gone.send")
		}
		lane := jetstream.ConsumerConfig{Durable: "clinic-gone-send", FilterSubjects: []string{"redox.out.clinic-gone.send", "redox.out.clinic-gone.send.>"}, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour, MaxAckPending: 1}
		consumer, err := r.js.CreateConsumer(r.Context(), "REDOX_OUT", lane)
		r.must(err)
		_, err = consumer.Fetch(1)
		r.must(err)
		bubble.Sleep(time.Minute)
		move := func() ([]string, error) {
			return tell(r.desk.MoveStrays(r.Context(), r.strays(operate.StrayQuery{Source: "clinic-gone"}), operate.Target{Source: source}, operate.StrayOptions{}))
		}
		if came, err := move(); err == nil || !strings.Contains(err.Error(), "a worker took 1 messages of clinic-gone 1m0s ago") || len(came) != 0 {
			t.Errorf("%q, %v", came, err)
		}
		bubble.Sleep(5 * time.Minute)
		waiting, err := consumer.Fetch(1, jetstream.FetchMaxWait(time.Minute))
		r.must(err)
		bubble.Sleep(time.Second)
		if came, err := move(); err == nil || !strings.Contains(err.Error(), "a worker reads the messages of clinic-gone by now") || len(came) != 0 {
			t.Errorf("%q, %v", came, err)
		}
		for range waiting.Messages() {
			t.Error("it was delivered")
		}
		first := r.strays(operate.StrayQuery{Source: "clinic-gone"})
		ctx, end := context.WithCancel(r.Context())
		inside := 0
		for _, err := range r.desk.MoveStrays(ctx, first, operate.Target{Source: source}, operate.StrayOptions{}) {
			if r.must(err); inside == 0 { // another run meanwhile
				short, cancel := context.WithTimeout(ctx, 10*time.Second)
				came, err := tell(r.desk.MoveStrays(short, first, operate.Target{Source: source}, operate.StrayOptions{}))
				if cancel(); !errors.Is(err, context.DeadlineExceeded) || len(came) > 0 {
					t.Errorf("%q, %v", came, err)
				}
			}
			inside++
		}
		end()
		if inside != 3 || r.messages("REDOX_OUT") != 3 {
			t.Errorf("%d moved", inside)
		}
	})
}
