package outbox

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

const topologyToken = "0123456789abcdef0123456789abcdef"

func small() Topology { return Topology{Sources: []string{"clinic-a"}, Partitions: 2} }

func TestEnsure_CreatesAllAndThenNothing(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	topology := Topology{Sources: []string{"clinic-a", "clinic-b"}, Partitions: 3, DeadMaxAge: time.Hour}
	drift, err := topology.Drift(r.ctx(), r.js)
	if err != nil {
		t.Fatal(err)
	}
	made := r.ensure(topology)
	if diff := cmp.Diff(drift, made); diff != "" {
		t.Errorf("Drift announced other changes than Ensure made (-drift +made):\n%s", diff)
	}
	if n := len(withAction(made, Create)); n != 7+2*5+1 || n != len(made) {
		t.Errorf("%d of %d changes create something, want all 18", n, len(made))
	}
	if again := r.ensure(topology); again != nil {
		t.Errorf("the second Ensure changed %v", again)
	}
	for _, name := range []string{"KV_REDOX_STATE", "OBJ_REDOX_BODIES", "REDOX_OUT"} {
		r.stream(name)
	}
	if got := r.stream("REDOX_DLQ").Config.MaxAge; got != time.Hour {
		t.Errorf("max age of dead letters %v", got)
	}
}

func TestEnsure_VerifiesWithFewRequests(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	topology := Topology{Sources: []string{"a", "b", "c"}}
	r.ensure(topology)
	before := r.js.Conn().Stats().OutMsgs
	if changes := r.ensure(topology); changes != nil {
		t.Fatalf("changed %v", changes)
	}
	if n := r.js.Conn().Stats().OutMsgs - before; n > 9 {
		t.Errorf("%d requests, want one for each of 7 streams and one for the consumers of two", n)
	}
}

func TestEnsure_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	topologies := []Topology{
		{Sources: []string{"clinic-a"}, Partitions: 4}, {Sources: []string{"clinic-a", "clinic-b"}, Partitions: 4},
		{Sources: []string{"clinic-c"}, Partitions: 4}, {Sources: []string{"clinic-b"}, Partitions: 4},
	}
	var wg sync.WaitGroup
	for _, topology := range topologies {
		js := r.connect()
		wg.Go(func() {
			if _, err := topology.Ensure(r.t.Context(), js); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, topology := range topologies {
		r.settled(topology)
	}
}

func TestEnsure_ManyRepairAtOnce(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(small())
	r.updateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.Discard, c.MaxAge = jetstream.DiscardOld, time.Hour })
	var wg sync.WaitGroup
	for range 4 {
		js := r.connect()
		wg.Go(func() {
			if _, err := small().Ensure(r.t.Context(), js); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.settled(small())
}

func TestEnsure_SurvivesRestart(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(small())
	r.mustPublish(Prefix("").SendSubject("clinic-a"))
	if err := r.server.Restart(); err != nil {
		t.Fatal(err)
	}
	r.js = r.connect()
	r.settled(small())
	if n := r.stream("REDOX_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages after the restart, want 1", n)
	}
}

func TestEnsure_TwoPrefixesInOneAccount(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	other := Topology{Prefix: "redox-test", Sources: []string{"clinic-a"}, Partitions: 2}
	r.ensure(small())
	r.ensure(other)
	r.mustPublish(Prefix("redox-test").OrderedSubject("clinic-a", topologyToken))
	if n := r.stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages of the other prefix in REDOX_OUT", n)
	}
	if n := r.stream("REDOX_TEST_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages in REDOX_TEST_OUT, want 1", n)
	}
	r.settled(small())
	r.settled(other)
}

func TestEnsure_PartitionsChange(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(Topology{Sources: []string{"clinic-a"}, Partitions: 4})
	r.mustPublish(Prefix("").SendSubject("clinic-a")) // unordered messages are not in the way
	r.mustPublish(Prefix("").OrderedSubject("clinic-a", topologyToken))

	fewer := small()
	changes, err := fewer.Ensure(r.ctx(), r.js)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "1 ordered messages") {
		t.Fatalf("with a message in a partition: %v", err)
	}
	if n := len(withAction(changes, Refuse)); n != 1 {
		t.Errorf("%d refusals, want 1: %v", n, changes)
	}
	if got := r.stream("REDOX_OUT").Config.SubjectTransform.Destination; !strings.Contains(got, "partition(4,2)") {
		t.Errorf("the transform was changed nevertheless: %s", got)
	}

	s, err := r.js.Stream(r.ctx(), "REDOX_OUT")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(r.ctx(), jetstream.WithPurgeSubject("redox.out.*.ordered.*")); err != nil {
		t.Fatal(err)
	}
	changes = r.ensure(fewer)
	if n := len(withAction(changes, Update)); n != 1 {
		t.Errorf("%d updates, want the transform: %v", n, changes)
	}
	left := withAction(changes, Leave)
	if len(left) != 2 || left[0].Name != "clinic-a-ordered-2" || left[1].Name != "clinic-a-ordered-3" {
		t.Errorf("left over: %v", left)
	}
	for _, c := range left {
		if !strings.Contains(c.Detail, "when the queue has no more than these and it has nothing pending and nothing in flight") {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	r.consumer("clinic-a-ordered-3") // nothing is deleted
}

func TestTopology_Validate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		topology Topology
		want     string
	}{
		"prefix":         {Topology{Prefix: "Redox"}, "prefix"},
		"source":         {Topology{Sources: []string{"ok", "not ok"}}, `source "not ok"`},
		"replicas":       {Topology{Replicas: 6}, "replicas 6"},
		"replicas below": {Topology{Replicas: -1}, "replicas -1"},
		"partitions":     {Topology{Partitions: 1025}, "partitions 1025"},
		"ack wait":       {Topology{AckWait: time.Millisecond}, "ack wait 1ms"},
		"dead max age":   {Topology{DeadMaxAge: time.Second}, "max age 1s"},
		"zero":           {Topology{}, ""},
		"limits":         {Topology{Replicas: 5, Partitions: 1024, AckWait: time.Second, DeadMaxAge: time.Minute}, ""},
		"for ever":       {Topology{DeadMaxAge: -1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.topology.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
	all := Topology{Prefix: "X", Replicas: 9, Partitions: -1}.Validate()
	if n := strings.Count(all.Error(), "outbox: "); n != 3 {
		t.Errorf("%d problems reported, want all 3: %v", n, all)
	}
	if _, err := (Topology{Prefix: "X"}).Ensure(t.Context(), nil); err == nil {
		t.Error("Ensure accepts an invalid topology")
	}
	if _, err := (Topology{Prefix: "X"}).Drift(t.Context(), nil); err == nil {
		t.Error("Drift accepts an invalid topology")
	}
}

func TestTopology_WithDefaults(t *testing.T) {
	t.Parallel()
	given := []string{"b", "a", "b"}
	got := Topology{Sources: given, DeadMaxAge: -1}.WithDefaults()
	want := Topology{Prefix: "redox", Sources: []string{"a", "b"}, Replicas: 1, Partitions: 16, AckWait: 30 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(given, []string{"b", "a", "b"}) {
		t.Errorf("the caller's sources were changed: %v", given)
	}
}

func TestChange_String(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Change{
		"create stream REDOX_OUT":              {Kind: "stream", Name: "REDOX_OUT", Action: Create},
		"update bucket REDOX_STATE: a -> b":    {Kind: "bucket", Name: "REDOX_STATE", Action: Update, Detail: "a -> b"},
		"refuse object store REDOX_BODIES: no": {Kind: "object store", Name: "REDOX_BODIES", Action: Refuse, Detail: "no"},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func BenchmarkEnsure_Verify(b *testing.B) {
	r := benchRig(b)
	topology := Topology{Sources: []string{"a", "b", "c"}}
	if _, err := topology.Ensure(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if changes, err := topology.Ensure(b.Context(), r); err != nil || changes != nil {
			b.Fatal(changes, err)
		}
	}
}
