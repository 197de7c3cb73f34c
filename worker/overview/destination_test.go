package overview_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// A destination that an operator has paused is named with who, why and what ends it; as the reason for
// waiting only where messages were handed back, and never with a number that nobody knows.
func TestGather_ADestinationThatIsPaused(t *testing.T) {
	inBubble(t, func(r *rig) {
		pauses := worker.NewPauses(r.js, prefix, "ann@ops")
		r.must(pauses.PauseDestination(r.Context(), "clinic-a", "big", 0, "it moves"))
		r.announce(ready, map[string][]string{"clinic-a": nil, "clinic-b": nil})
		r.store(prefix.SendSubject("clinic-a"), 5)
		r.store(prefix.SendSubject("clinic-b"), 5)
		o := r.gather()
		if got := person(o); !slices.Equal(got, []string{"messages of clinic-a to big are paused until somebody resumes it, by ann@ops: it moves"}) {
			t.Errorf("%q", got)
		}
		if mend := o.Needs[0].Mend; mend != "redoxworker resume --source clinic-a --destination big" {
			t.Errorf("the mend is %q", mend)
		}
		if why := backlog(t, o, "clinic-a", contract.LaneSend).Why; why.State != overview.Moving {
			t.Errorf("none was handed back, and it is %+v", why)
		}
		c, err := r.js.CreateConsumer(r.Context(), prefix.OutStream(), jetstream.ConsumerConfig{Durable: "clinic-a-send", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: prefix.SendSubject("clinic-a")})
		r.must(err)
		batch, err := c.Fetch(2)
		r.must(err)
		for msg := range batch.Messages() {
			r.must(msg.NakWithDelay(30 * time.Second))
		}
		o = r.gather()
		if why := backlog(t, o, "clinic-a", contract.LaneSend).Why; why.State != overview.Retrying || why.Text != "messages to big are paused until somebody resumes it, by ann@ops: it moves" {
			t.Errorf("%+v", why)
		}
		if why := backlog(t, o, "clinic-b", contract.LaneSend).Why; why.State != overview.Moving {
			t.Errorf("another source: %+v", why)
		}
		if d := o.Drain; !strings.HasSuffix(d.Text, "; not what goes to big while that is paused") || d.Messages != 10 {
			t.Errorf("%+v", d)
		}
		r.must(pauses.PauseDestination(r.Context(), "", "all-over", time.Hour, ""))
		for i := range 998 {
			r.must(pauses.PauseDestination(r.Context(), "clinic-b", fmt.Sprint("x-", i), 0, ""))
		}
		o = r.gather()
		if got := person(o); len(got) != 1 || !strings.HasPrefix(got[0], "999 destinations are paused by an operator: dest:clinic-a:big, ") {
			t.Errorf("%q", got)
		}
		if mend := o.Needs[0].Mend; mend != "redoxworker resume --source clinic-a --destination big, and so on" {
			t.Errorf("the mend is %q", mend)
		}
		if n := o.Needs[len(o.Needs)-1]; n.Person || n.Text != "messages of all sources to all-over are paused for 60m, by ann@ops" || n.Mend != "redoxworker resume --all --destination all-over" {
			t.Errorf("%+v", n)
		}
	})
}
