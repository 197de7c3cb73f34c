package overview_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Where there are too many subjects to count each, consumers count, and what they cannot tell is
// said to be unknown.
func TestGather_MoreSubjectsThanAreCounted(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.store(prefix.SendSubject("clinic-a"), 2)
		r.store(prefix.OrderedSubject("clinic-a", token(1)), 3)
		r.store(prefix.OrderedSubject("clinic-b", token(1)), 4)
		r.store(prefix.OrderedSubject("clinic-b", token(2)), 1)
		r.store(prefix.RequestSubject("clinic-c"), 1)
		for _, source := range []string{"clinic-a", "clinic-b"} {
			_, err := r.js.CreateConsumer(r.Context(), prefix.OutStream(), jetstream.ConsumerConfig{Durable: prefix.SendConsumer(source), AckPolicy: jetstream.AckExplicitPolicy,
				FilterSubjects: []string{prefix.SendSubject(source), prefix.OrderedSubject(source, "*")}})
			r.must(err)
		}
		g, err := overview.New(r.js, overview.Config{Subjects: 2})
		r.must(err)
		want := map[string][2]uint64{"clinic-a send": {5, 3}, "clinic-b send": {5, 5}, "clinic-c request": {1, 0}}
		check := func(unknown ...string) {
			t.Helper()
			o := g.Gather(r.Context())
			got := map[string][2]uint64{}
			for _, b := range o.Backlogs {
				got[b.Source+" "+string(b.Lane)] = [2]uint64{b.Messages, b.Ordered}
			}
			if !maps.Equal(got, want) || len(o.Unknown) != 1 || slices.ContainsFunc(unknown, func(text string) bool { return !strings.Contains(o.Unknown[0], text) }) {
				t.Errorf("%v, want %v; not known: %q", got, want, o.Unknown)
			}
		}
		check("what ordered messages wait behind")
		r.store(prefix.OrderedSubject("clinic-d", token(1)), 2)
		check("whose 2 messages are", "what ordered messages wait behind")
	})
}

// Dead letters are counted by settlement and source, by settlement alone where they are many, and
// the reasons of the newest are read.
func TestGather_DeadLetters(t *testing.T) {
	inBubble(t, func(r *rig) {
		bury := func(n int, source string, settlement outbox.Settlement, reason string) {
			for range n {
				r.messages++
				l := dlq.Letter{MessageID: fmt.Sprint("m-", r.messages), Source: source, Settlement: settlement, Error: reason, At: time.Now(), Sequence: uint64(r.messages),
					Subject: prefix.SendSubject(source), Header: nats.Header{"Redox-Path": {"Patient?name=Bixby"}}, Body: []byte(`{"a":"body"}`)}
				_, err := r.js.PublishMsg(r.Context(), l.Encode(prefix))
				r.must(err)
			}
		}
		few, err := overview.New(r.js, overview.Config{})
		r.must(err)
		many, err := overview.New(r.js, overview.Config{Subjects: 1})
		r.must(err)
		if d := few.Gather(r.Context()).Dead; d == nil || d.Messages != 0 {
			t.Errorf("%+v", d)
		}
		bury(3, "clinic-a", outbox.Rejected, "status 400")
		bury(2, "clinic-b", outbox.Held, "somebody must decide")
		settlements := map[outbox.Settlement]uint64{outbox.Rejected: 3, outbox.Held: 2}
		for g, sources := range map[*overview.Gatherer]map[string]uint64{few: {"clinic-a": 3, "clinic-b": 2}, many: nil} {
			for range 2 { // the second is remembered
				o := g.Gather(r.Context())
				d := o.Dead
				if d == nil || d.Messages != 5 || !maps.Equal(d.Settlements, settlements) || !maps.Equal(d.Sources, sources) || d.Sample != 5 {
					t.Fatalf("%+v, %q", d, o.Unknown)
				}
				if d.Reasons[0] != (overview.DeadReason{Settlement: outbox.Rejected, Reason: "status 400", Messages: 3}) || len(d.Reasons) != 2 {
					t.Errorf("%+v", d.Reasons)
				}
				if !slices.ContainsFunc(person(o), func(text string) bool { return strings.HasPrefix(text, "5 dead letters") }) {
					t.Errorf("%q", person(o))
				}
			}
		}
		stream, err := r.js.Stream(r.Context(), prefix.DeadStream())
		r.must(err)
		if n := stream.CachedInfo().State.Consumers; n != 0 {
			t.Errorf("%d consumers are left behind", n)
		}
		bury(250, "clinic-a", outbox.Expired, "too late")
		if d := few.Gather(r.Context()).Dead; d.Messages != 255 || d.Sample != 200 || d.Settlements[outbox.Expired] != 250 {
			t.Errorf("%d, %d read, %v", d.Messages, d.Sample, d.Settlements)
		}
	})
}

// What a worker serves comes in parts, of any number of sources.
func TestGather_SourcesInParts(t *testing.T) {
	inBubble(t, func(r *rig) {
		serves := map[string][]string{}
		for i := range 20_000 {
			serves[fmt.Sprintf("clinic-%05d-%s", i, strings.Repeat("x", 40))] = []string{"key:" + fmt.Sprint(i%3)}
		}
		last := fmt.Sprintf("clinic-%05d-%s", 19_999, strings.Repeat("x", 40))
		asked := 0
		w := pausing("key:1") // of the last, as 19,999 is a multiple of three and one
		r.announceAll(func() overview.Worker { return w }, func() map[string][]string { asked++; return serves })
		r.store(prefix.SendSubject(last), 1)
		r.store(prefix.SendSubject("clinic-y"), 1)
		o := r.gather()
		if why := backlog(t, o, last, contract.LaneSend).Why; why.State != overview.NoToken {
			t.Errorf("%+v", why)
		}
		if why := backlog(t, o, "clinic-y", contract.LaneSend).Why; why.State != overview.Unserved {
			t.Errorf("%+v", why)
		}
		bubble.Sleep(time.Minute)
		before := asked
		r.gather()
		if asked != before+1 {
			t.Errorf("asked %d times for what has not changed", asked-before)
		}
	})
}

// A program that panics when it is asked keeps nobody from the rest.
func TestAnnounce_APanicOfTheProgram(t *testing.T) {
	inBubble(t, func(r *rig) {
		calls := 0
		r.announceAll(func() overview.Worker {
			if calls++; calls > 1 {
				panic("secret")
			}
			return ready
		}, func() map[string][]string { panic("secret") })
		o := r.gather()
		if len(o.Workers) != 1 || len(o.Workers[0].Problems) != 1 || strings.Contains(o.Workers[0].Problems[0], "secret") {
			t.Errorf("%+v", o.Workers)
		}
	})
}
