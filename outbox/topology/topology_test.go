package topology

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

const topologyToken = "0123456789abcdef0123456789abcdef"

func small() Topology { return Topology{} }

func TestEnsure_CreatesAllAndThenNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	topology := Topology{DeadMaxAge: time.Hour}
	drift, err := topology.Drift(r.Ctx(), r.JS)
	if err != nil {
		t.Fatal(err)
	}
	made := r.ensure(topology)
	if diff := cmp.Diff(drift, made); diff != "" {
		t.Errorf("Drift announced other changes than Ensure made (-drift +made):\n%s", diff)
	}
	if n := len(withAction(made, Create)); n != 8 || n != len(made) {
		t.Errorf("%d of %d changes create something, want all 8", n, len(made))
	}
	if again := r.ensure(topology); again != nil {
		t.Errorf("the second Ensure changed %v", again)
	}
	for _, name := range []string{"KV_REDOX_STATE", "OBJ_REDOX_BODIES", "REDOX_OUT"} {
		r.Stream(name)
	}
	if got := r.Stream("REDOX_DLQ").Config.MaxAge; got != time.Hour {
		t.Errorf("max age of dead letters %v", got)
	}
}

func TestEnsure_VerifiesWithFewRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	topology := Topology{}
	r.ensure(topology)
	before := r.JS.Conn().Stats().OutMsgs
	if changes := r.ensure(topology); changes != nil {
		t.Fatalf("changed %v", changes)
	}
	if n := r.JS.Conn().Stats().OutMsgs - before; n > 8 {
		t.Errorf("%d requests, want one for each of 8 streams", n)
	}
}

func TestEnsure_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	topologies := []Topology{{}, {}, {DeadMaxAge: -1}, {QueueMaxBytes: -1}}
	var wg sync.WaitGroup
	for _, topology := range topologies {
		js := r.Connect()
		wg.Go(func() {
			if _, err := topology.Ensure(r.T.Context(), js); err != nil {
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
	r := newRig(t)
	r.ensure(small())
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.Discard, c.MaxAge = jetstream.DiscardOld, time.Hour })
	var wg sync.WaitGroup
	for range 4 {
		js := r.Connect()
		wg.Go(func() {
			if _, err := small().Ensure(r.T.Context(), js); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r.settled(small())
}

func TestEnsure_SurvivesRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	r.MustPublish(contract.Prefix("").SendSubject("clinic-a"))
	if err := r.Server.Restart(); err != nil {
		t.Fatal(err)
	}
	r.JS = r.Connect()
	r.settled(small())
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages after the restart, want 1", n)
	}
}

func TestEnsure_TwoPrefixesInOneAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	other := Topology{Prefix: "redox-test"}
	r.ensure(small())
	r.ensure(other)
	r.MustPublish(contract.Prefix("redox-test").OrderedSubject("clinic-a", topologyToken))
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 0 {
		t.Errorf("%d messages of the other prefix in REDOX_OUT", n)
	}
	if n := r.Stream("REDOX_TEST_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages in REDOX_TEST_OUT, want 1", n)
	}
	r.settled(small())
	r.settled(other)
}

// The queue's bounds are the topology's when it has any, and its operator's when it has none.
func TestEnsure_BoundsOfTheQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	bounds := func(bytes, msgs int64) {
		t.Helper()
		if c := r.Stream("REDOX_OUT").Config; c.MaxBytes != bytes || c.MaxMsgs != msgs {
			t.Errorf("%d bytes and %d messages, want %d and %d", c.MaxBytes, c.MaxMsgs, bytes, msgs)
		}
	}
	bounded := Topology{QueueMaxBytes: 1 << 20, QueueMaxMsgs: 2}
	r.ensure(bounded)
	r.settled(bounded)
	bounds(1<<20, 2)
	subject := contract.Prefix("").SendSubject("clinic-a")
	r.MustPublish(subject)
	r.MustPublish(subject)
	if _, err := r.Publish(subject); jsapi.Code(err) != jsapi.CodeStoreFailed {
		t.Errorf("beyond the bound: %v", err)
	}
	bounded.QueueMaxMsgs = 1 // what is stored stays
	if changes := r.ensure(bounded); len(changes) != 1 || changes[0].Detail != "max_msgs 2 -> 1" {
		t.Errorf("changes %v", changes)
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 2 {
		t.Errorf("%d messages stored, want both", n)
	}
	r.settled(small())
	bounds(1<<20, 1)
}

// An account may have a bound of consumers that is below the queue's; the server takes no
// greater one for a stream.
func TestEnsure_InAnAccountThatLimitsConsumers(t *testing.T) {
	t.Parallel()
	r := configured(t, "jetstream {}\nno_auth_user: u\naccounts { A { jetstream: {max_consumers: 300}, users: [{user: u, password: p}] } }")
	r.ensure(small())
	r.settled(small())
	if n := r.Stream("REDOX_OUT").Config.MaxConsumers; n != -1 {
		t.Errorf("max_consumers %d", n)
	}
	have := jetstream.StreamInfo{Config: small().Streams()[0]} // from before the account had one
	want := have.Config
	want.MaxConsumers = -1
	if d := streamDrift(want, &have); d.have.MaxConsumers != -1 {
		t.Errorf("max_consumers %d stays: no update would be taken", d.have.MaxConsumers)
	}
}

func TestTopology_Validate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		topology Topology
		want     string
	}{
		"prefix":         {Topology{Prefix: "Redox"}, "prefix"},
		"replicas":       {Topology{Replicas: 6}, "replicas 6"},
		"replicas below": {Topology{Replicas: -1}, "replicas -1"},
		"dead max age":   {Topology{DeadMaxAge: time.Second}, "max age 1s"},
		"zero":           {Topology{}, ""},
		"limits":         {Topology{Replicas: 5, DeadMaxAge: time.Minute}, ""},
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
	all := Topology{Prefix: "X", Replicas: 9, AuditMaxAge: 1}.Validate()
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
	got := Topology{DeadMaxAge: -1, QueueMaxMsgs: 7}.WithDefaults()
	want := Topology{Prefix: "redox", Replicas: 1, QueueMaxBytes: -1, QueueMaxMsgs: 7}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
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
	r := outboxtest.Bench(b)
	topology := Topology{}
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
