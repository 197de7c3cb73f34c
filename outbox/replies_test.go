package outbox

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// store stores replies to messages with these ids, as a worker does.
func (r rig) store(source string, ids ...string) {
	for _, id := range ids {
		reply := Reply{MessageID: id, Settlement: Delivered, Status: 200, Attempts: 1, Body: []byte(`{"n":"` + id + `"}`)}
		if _, err := r.JS.PublishMsg(r.Ctx(), reply.Encode(contract.Prefix("").ReplySubject(source, id))); err != nil {
			panic(err)
		}
	}
}

func (r rig) replies(t *testing.T, cfg RepliesConfig) *Replies {
	t.Helper()
	if cfg.Source == "" {
		cfg.Source = "clinic-a"
	}
	replies, err := NewReplies(r.JS, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return replies
}

// take handles so many replies and returns their ids.
func take(t *testing.T, replies *Replies, n int) (ids []string) {
	t.Helper()
	for reply, err := range replies.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == n {
			return ids // the next one, which comes again
		}
		if ids = append(ids, reply.MessageID); string(reply.Body) != `{"n":"`+reply.MessageID+`"}` || !reply.OK() ||
			reply.Subject != contract.Prefix("").ReplySubject(replies.config.Source, reply.MessageID) || reply.Stored.IsZero() {
			t.Errorf("%+v of %s", reply, reply.Subject)
		}
	}
	return ids
}

func withReplies(t *testing.T) rig {
	t.Helper()
	r := rig{outboxtest.With(t, natsdev.Options{})}
	r.Provision(streams.Set{Names: contract.Prefix("")})
	return r
}

// Each reply once, in order; who comes later goes on behind what is done; a reader with another
// name, and one that begins at a time, have their own.
func TestReplies_GoOnWhereTheyWere(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	r.store("clinic-a", "a-1", "a-2", "a-3")
	r.store("clinic-b", "b-1")
	cfg := RepliesConfig{AckWait: 100 * time.Millisecond}
	if got := take(t, r.replies(t, cfg), 2); fmt.Sprint(got) != "[a-1 a-2]" {
		t.Errorf("the first: %v", got)
	}
	middle := time.Now()
	r.store("clinic-a", "a-4", "last")
	if got := take(t, r.replies(t, cfg), 2); fmt.Sprint(got) != "[a-3 a-4]" {
		t.Errorf("who comes later: %v", got)
	}
	if got := take(t, r.replies(t, RepliesConfig{Name: "billing"}), 4); fmt.Sprint(got) != "[a-1 a-2 a-3 a-4]" {
		t.Errorf("another reader: %v", got)
	}
	if got := take(t, r.replies(t, RepliesConfig{Name: "late", Since: middle}), 1); fmt.Sprint(got) != "[a-4]" {
		t.Errorf("since a time: %v", got)
	}
	r.store("clinic-b", "last")
	if got := take(t, r.replies(t, RepliesConfig{Source: "clinic-b"}), 1); fmt.Sprint(got) != "[b-1]" {
		t.Errorf("another source: %v", got)
	}
}

// A reply that is wanted again, and one whose handler panics or leaves, come again before others.
func TestReplies_WhatIsNotDoneComesAgain(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	r.store("clinic-a", "a-1", "a-2", "a-3")
	replies := r.replies(t, RepliesConfig{AckWait: 100 * time.Millisecond})
	var seen []string
	round := func(f func(*Received) bool) {
		defer func() { _ = recover() }()
		for reply, err := range replies.All(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, fmt.Sprint(reply.MessageID, "/", reply.Deliveries))
			if !f(reply) {
				return
			}
		}
	}
	round(func(reply *Received) bool { reply.Again(time.Millisecond); return reply.Deliveries < 2 })
	round(func(*Received) bool { panic("handler") })
	round(func(reply *Received) bool { return reply.MessageID != "a-3" })
	if got := strings.Join(seen, " "); got != "a-1/1 a-1/2 a-1/3 a-1/4 a-2/1 a-3/1" {
		t.Errorf("seen %s", got)
	}
}

// A handler may take as long as it likes.
func TestReplies_AreKeptWhileTheyAreHandled(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	r.store("clinic-a", "a-1", "a-2")
	cfg := RepliesConfig{AckWait: time.Second, InFlight: 5}
	other := r.replies(t, cfg)
	for reply, err := range r.replies(t, cfg).All(t.Context()) {
		if err != nil || reply.MessageID != "a-1" {
			t.Fatal(err, reply)
		}
		break
	}
	for reply, err := range other.All(t.Context()) { // a-2, and a-1 again since nobody keeps it
		if err != nil {
			t.Fatal(err)
		}
		if reply.MessageID == "a-1" {
			break
		}
		for again, err := range r.replies(t, cfg).All(t.Context()) {
			if err != nil || again.MessageID != "a-1" {
				t.Errorf("%v %v: a-2 is being handled", again, err)
			}
			again.Again(0)
			if again.Deliveries > 5 { // many times as long as a lease
				break
			}
		}
	}
}

// What is no reply is told and done; a body in the object store is fetched, and one that is
// missing is told.
func TestReplies_Bodies(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	bodies := NewBodies(r.JS, "")
	if err := bodies.Put(r.Ctx(), "clinic-a/x", []byte(`"large"`)); err != nil {
		t.Fatal(err)
	}
	for _, reply := range []Reply{
		{MessageID: "claim", Settlement: Delivered, BodyObject: "clinic-a/x"},
		{MessageID: "missing", Settlement: Delivered, BodyObject: "clinic-a/y"},
		{MessageID: "no-reply", Settlement: "nonsense"},
		{MessageID: "last", Settlement: Rejected, Error: "no"},
	} {
		if _, err := r.JS.PublishMsg(r.Ctx(), reply.Encode("redox.reply.clinic-a."+reply.MessageID)); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	for reply, err := range r.replies(t, RepliesConfig{}).All(t.Context()) {
		what := "fine"
		switch {
		case errors.Is(err, ErrBodyMissing):
			what = "missing"
		case err != nil:
			what = "error"
		}
		seen = append(seen, fmt.Sprintf("%s %s %d bytes", reply.Subject[len("redox.reply.clinic-a."):], what, min(len(reply.Body), 7)))
		if reply.MessageID == "last" {
			break
		}
	}
	if got := strings.Join(seen, ", "); got != "claim fine 7 bytes, missing missing 0 bytes, no-reply error 0 bytes, last fine 7 bytes" {
		t.Error(got)
	}
	left := RepliesConfig{Name: "left", LeaveBodies: true}
	for reply, err := range r.replies(t, left).All(t.Context()) {
		if err != nil || reply.BodyObject != "clinic-a/x" || len(reply.Body) > 0 {
			t.Errorf("%+v %v", reply, err)
		}
		break
	}
}

// A consumer that is lost is made anew behind what is done, and a stream that is missing is told
// and waited for.
func TestReplies_SurviveTheirConsumerAndStream(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	r.store("clinic-a", "a-1", "a-2", "a-3")
	var seen []string
	for reply, err := range r.replies(t, RepliesConfig{}).All(t.Context()) {
		if err != nil {
			if !errors.Is(err, ErrNoStream) || reply != nil {
				t.Errorf("%v %v", reply, err)
			}
			if !slices.Contains(seen, "none") {
				seen = append(seen, "none")
				r.Provision(streams.Set{Names: contract.Prefix("")})
				r.store("clinic-a", "b-1", "b-2")
			}
			continue
		}
		if seen = append(seen, reply.MessageID); reply.MessageID == "a-3" {
			r.Must(r.JS.DeleteStream(r.Ctx(), "REDOX_REPLIES"))
		}
		if reply.MessageID == "b-2" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "a-1 a-2 a-3 none b-1 b-2" {
		t.Errorf("seen %s", got)
	}
	seen = nil
	r.store("clinic-a", "c-1", "c-2")
	replies := r.replies(t, RepliesConfig{Name: "lost"})
	for reply, err := range replies.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, reply.MessageID)
		if reply.MessageID == "c-1" && len(seen) == 3 {
			r.Must(r.JS.DeleteConsumer(r.Ctx(), "REDOX_REPLIES", "clinic-a-replies-lost"))
		}
		if reply.MessageID == "c-2" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != "b-1 b-2 c-1 c-1 c-2" { // the ack of c-1 found no consumer
		t.Errorf("after the consumer was lost: %s", got)
	}
}

func TestReplies_Settings(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	for name, cfg := range map[string]RepliesConfig{
		"no source": {}, "a source": {Source: "Clinic A"}, "name": {Source: "a", Name: "a.b"}, "long": {Source: "a", Name: strings.Repeat("n", 65)},
		"prefix": {Source: "a", Prefix: "A.b"}, "in flight": {Source: "a", InFlight: -1}, "ack wait": {Source: "a", AckWait: time.Millisecond}, "claim": {Source: "a", MaxClaim: -2},
	} {
		if _, err := NewReplies(r.JS, cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := NewReplies(nil, RepliesConfig{Source: "a"}); err == nil {
		t.Error("no JetStream was taken")
	}
	r.store("clinic-a", "a-1", "a-2")
	take(t, r.replies(t, RepliesConfig{}), 1)
	take(t, r.replies(t, RepliesConfig{InFlight: 7, AckWait: time.Second}), 0)
	c, err := r.JS.Consumer(r.Ctx(), "REDOX_REPLIES", "clinic-a-replies")
	if err != nil {
		t.Fatal(err)
	}
	if cfg := c.CachedInfo().Config; cfg.MaxAckPending != 7 || cfg.AckWait != time.Second || cfg.DeliverPolicy != jetstream.DeliverAllPolicy {
		t.Errorf("%+v", cfg)
	}
}
