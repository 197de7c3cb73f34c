package overview_test

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What waits is counted where it is stored, whatever sources anybody has configured: nothing of the
// queue is left out of the backlog.
func TestGather_TheWholeQueueWhoeverAsks(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.store(prefix.SendSubject("clinic-a"), 1)
		r.store(prefix.OrderedSubject("clinic-a", token(1)), 2)
		r.store(prefix.SendSubject("clinic-b"), 5)
		r.store(prefix.RequestSubject("clinic-b"), 1)
		r.store("redox.out.clinic-a.ordered", 1) // no worker reads it
		bubble.Sleep(time.Minute)
		o := r.gather()
		if o.Queue.Messages != 10 || o.Queue.Astray != 1 || o.Queue.Age != time.Minute {
			t.Errorf("%+v", o.Queue)
		}
		want := []overview.Backlog{
			{Source: "clinic-a", Lane: contract.LaneSend, Messages: 3, Ordered: 2}, {Source: "clinic-b", Lane: contract.LaneSend, Messages: 5}, {Source: "clinic-b", Lane: contract.LaneRequest, Messages: 1},
		}
		for i := range want {
			want[i].Age, want[i].Why = time.Minute, overview.Why{State: overview.Unserved, Text: "no worker runs"}
		}
		if diff := cmp.Diff(want, o.Backlogs, cmpopts.SortSlices(func(a, b overview.Backlog) bool { return a.Source+string(b.Lane) < b.Source+string(a.Lane) })); diff != "" {
			t.Error(diff)
		}
		if d := o.Drain; d.Messages != 0 || d.Blocked != 10 || !strings.HasPrefix(d.Text, "never while no worker ") {
			t.Errorf("%+v", d)
		}
		if got := person(o); !slices.Equal(got, []string{"no worker runs", "1 message under subjects that no worker reads"}) {
			t.Errorf("%q", got)
		}

		// A worker comes that serves one of them.
		r.announce(ready, map[string][]string{"clinic-a": nil})
		o = r.gather()
		if a, b := backlog(t, o, "clinic-a", contract.LaneSend).Why, backlog(t, o, "clinic-b", contract.LaneSend).Why; a.State != overview.Moving || b.Text != "no worker serves it" {
			t.Errorf("%+v, %+v", a, b)
		}
		if got := person(o); got[0] != "no worker serves clinic-b, 6 messages waiting" || o.Backlogs[0].Source != "clinic-b" {
			t.Errorf("%q, first of the backlogs is %s", got, o.Backlogs[0].Source)
		}
	})
}

// A pause of a key is no worker's secret, and a token that is at hand does not belie it.
func TestGather_AKeyThatIsRefused(t *testing.T) {
	inBubble(t, func(r *rig) {
		w := pausing("key:main")
		w.Keys = []overview.Key{{Status: auth.Status{Name: "main", Usable: true, Tokens: 1}, Paused: true, Sources: 2}, {Status: auth.Status{Name: "other", Usable: true}, Sources: 1}}
		r.announce(w, map[string][]string{"clinic-a": {"key:main"}, "clinic-b": {"key:main"}, "clinic-c": {"key:other"}})
		r.store(prefix.SendSubject("clinic-a"), 1)
		r.store(prefix.SendSubject("clinic-c"), 1)
		o := r.gather()
		if len(o.Pauses) != 1 || o.Pauses[0].Scope != "key:main" || o.Pauses[0].Worker != "w-1" {
			t.Errorf("%+v", o.Pauses)
		}
		if k := o.Keys[0]; k.Name != "main" || k.Trouble != 1 || k.Workers != 1 || o.Keys[1].Trouble != 0 {
			t.Errorf("%+v", o.Keys)
		}
		if why := backlog(t, o, "clinic-a", contract.LaneSend).Why; why.State != overview.NoToken || !strings.Contains(why.Text, "status 401") {
			t.Errorf("%+v", why)
		}
		if why := backlog(t, o, "clinic-c", contract.LaneSend).Why; why.State != overview.Moving {
			t.Errorf("of another key: %+v", why)
		}
		if got := person(o); len(got) != 1 || !strings.HasPrefix(got[0], "key main does not work, 1 message waiting: unauthorized: status 401") {
			t.Errorf("%q", got)
		}
		if o.Healthy() || o.Drain.Messages != 1 || o.Drain.Blocked != 1 {
			t.Errorf("healthy %v, %+v", o.Healthy(), o.Drain)
		}

		// Where another worker's key works, the messages go on.
		well := overview.Worker{ID: "w-2", Ready: true, Keys: []overview.Key{{Status: auth.Status{Name: "main", Usable: true}, Sources: 2}}}
		r.announce(well, map[string][]string{"clinic-a": {"key:main"}})
		o = r.gather()
		if why := backlog(t, o, "clinic-a", contract.LaneSend).Why; why.State != overview.Moving || len(o.Workers) != 2 {
			t.Errorf("%+v, %d workers", why, len(o.Workers))
		}
		if got := person(o); len(got) != 1 || !strings.Contains(got[0], "in 1 of 2 workers") {
			t.Errorf("%q", got)
		}
	})
}

// What is paused is never forecast, whoever paused it.
func TestDrain_NeverForWhatIsPaused(t *testing.T) {
	for scope, want := range map[string]string{
		"all": "never while all is paused", "source:clinic-a": "never while clinic-a is paused",
		"key:main": "never while key:main does not work", "host:api": "never while host:api does not work", "group:default": "never while group:default does not work",
		"": "not known",
	} {
		t.Run(scope, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				w := pausing(scope)
				switch pauses := worker.NewPauses(r.js, prefix, "ann@ops"); scope {
				case "all":
					r.must(pauses.Pause(r.Context(), "", 0, ""))
					w = ready
				case "source:clinic-a":
					r.must(pauses.Pause(r.Context(), "clinic-a", 0, "the hospital moves"))
					w = ready
				}
				r.announce(w, map[string][]string{"clinic-a": {"key:main", "host:api", "group:default"}})
				r.store(prefix.SendSubject("clinic-a"), 5)
				o := r.gather()
				if o.Drain.Text != want || o.Drain.About != nil || (scope == "") != (o.Drain.Messages == 5) {
					t.Errorf("%+v, want %q", o.Drain, want)
				}
				if scope == "source:clinic-a" && !slices.Equal(person(o), []string{"clinic-a is paused, 5 messages waiting, until somebody resumes it, by ann@ops: the hospital moves"}) {
					t.Errorf("%q", person(o))
				}

				// One that goes on is told apart.
				r.store(prefix.SendSubject("clinic-b"), 2)
				r.stopAll()
				r.announce(w, map[string][]string{"clinic-a": {"key:main", "host:api", "group:default"}, "clinic-b": nil})
				if o = r.gather(); scope != "" && scope != "all" && (o.Drain.Messages != 2 || o.Drain.Text != "not known (2 messages); 5 messages "+want) {
					t.Errorf("%+v", o.Drain)
				}
			})
		})
	}
}

// A gatherer that is kept sees how fast the queue moves, and that it does not.
func TestDrain_AtTheRateThatWasSeen(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.announce(ready, map[string][]string{"clinic-a": nil})
		r.store(prefix.SendSubject("clinic-a"), 100)
		if o := r.gather(); o.Queue.Out != nil || o.Drain.Text != "not known" {
			t.Errorf("at the first look: %+v", o.Drain)
		}
		bubble.Sleep(10 * time.Second)
		if o := r.gather(); o.Drain.Text != "never at this rate: nothing was settled of late" {
			t.Errorf("%+v", o.Drain)
		}
		c, err := r.js.CreateConsumer(r.Context(), prefix.OutStream(), jetstream.ConsumerConfig{Durable: "clinic-a-send", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: prefix.SendSubject("clinic-a")})
		r.must(err)
		batch, err := c.Fetch(20)
		r.must(err)
		for msg := range batch.Messages() {
			r.must(msg.DoubleAck(r.Context()))
		}
		r.store(prefix.SendSubject("clinic-a"), 10)
		bubble.Sleep(10 * time.Second)
		o := r.gather()
		if q := o.Queue; math.Abs(*q.Out-1) > 0.05 || math.Abs(*q.In-0.5) > 0.05 || o.Drain.About.Round(10*time.Second) != 90*time.Second || !strings.HasPrefix(o.Drain.Text, "about 9") {
			t.Errorf("in %v, out %v, %+v", *q.In, *q.Out, o.Drain)
		}
	})
}

// Nothing of a patient is in an overview.
func TestGather_NothingOfAPatient(t *testing.T) {
	inBubble(t, func(r *rig) {
		msg := &nats.Msg{Subject: prefix.OrderedSubject("clinic-a", token(1)), Data: []byte("Bixby"), Header: nats.Header{"Redox-Path": {"Patient?name=Bixby"}, "Redox-Header-If-Match": {"Bixby"}}}
		for range 2 {
			_, err := r.js.PublishMsg(r.Context(), msg)
			r.must(err)
		}
		o := r.gather()
		text, err := json.Marshal(o)
		if err != nil || len(o.Heads) != 1 || strings.Contains(string(text), "Bixby") {
			t.Errorf("%v: %s", err, text)
		}
	})
}

// Where a worker that has a lease does not answer, nobody can tell that a source is served by none.
func TestServed_IsUnknownWhereAWorkerIsSilent(t *testing.T) {
	inBubble(t, func(r *rig) {
		g, err := quota.New(quota.Config{})
		r.must(err)
		ctx, cancel := context.WithCancel(r.Context())
		ran := make(chan struct{})
		go func() { defer close(ran); g.Run(ctx, r.js) }()
		bubble.Sleep(5 * time.Second)
		stop := r.announce(ready, map[string][]string{"clinic-a": nil})
		if served, err := r.gatherer.Served(r.Context()); err == nil || !strings.Contains(err.Error(), "1 worker with a lease of the quota did not answer") {
			t.Errorf("%v, %v", served, err)
		}
		stop()
		answers := ready
		answers.Quota = &quota.Status{}
		r.announce(answers, map[string][]string{"clinic-a": nil})
		if served, err := r.gatherer.Served(r.Context()); err != nil || !served["clinic-a"] || len(served) != 1 {
			t.Errorf("%v, %v", served, err)
		}
		cancel()
		<-ran
	})
}
