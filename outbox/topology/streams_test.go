package topology

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// The buckets must be what the client library itself makes: its readers and
// writers, and other tools, rely on that.
func TestStreams_BucketsAreWhatTheLibraryMakes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ours := Topology{Prefix: "ours"}
	r.ensure(ours)
	for name, make := range map[string]func() error{
		"KV_OURS_STATE": func() error {
			_, err := r.JS.CreateKeyValue(r.Ctx(), jetstream.KeyValueConfig{Bucket: "THEIRS_STATE"})
			return err
		},
		"KV_OURS_LEDGER": func() error {
			_, err := r.JS.CreateKeyValue(r.Ctx(), jetstream.KeyValueConfig{Bucket: "THEIRS_LEDGER", LimitMarkerTTL: time.Minute})
			return err
		},
		"OBJ_OURS_BODIES": func() error {
			_, err := r.JS.CreateObjectStore(r.Ctx(), jetstream.ObjectStoreConfig{Bucket: "THEIRS_BODIES"})
			return err
		},
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		got, want := r.Stream(name).Config, r.Stream(strings.Replace(name, "OURS", "THEIRS", 1)).Config
		ignore := cmpopts.IgnoreFields(jetstream.StreamConfig{}, "Name", "Subjects", "Description", "Metadata")
		if !strings.HasSuffix(name, "_STATE") {
			want.AllowDirect = false // ours are read from their leader
		}
		if diff := cmp.Diff(want, got, ignore); diff != "" {
			t.Errorf("%s (-library +ours):\n%s", name, diff)
		}
	}
}

func TestStreams_OutStoresByLane(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	var p contract.Prefix
	woken, err := r.JS.Conn().SubscribeSync(p.WakeSubjects())
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]contract.Lane{
		p.SendSubject("clinic-a"):                   contract.LaneSend,
		p.RequestSubject("clinic-a"):                contract.LaneRequest,
		p.OrderedSubject("clinic-a", topologyToken): contract.LaneOrdered,
	} {
		ack, err := r.Publish(subject)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.JS.Stream(r.Ctx(), ack.Stream)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := s.GetMsg(r.Ctx(), ack.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		source, lane, token, err := p.ParseOut(msg.Subject)
		if err != nil || source != "clinic-a" || lane != want || msg.Subject != subject {
			t.Errorf("%s is stored as %s: %s, %s, %v", subject, msg.Subject, source, lane, err)
		}
		if (lane == contract.LaneOrdered) != (token == topologyToken) {
			t.Errorf("token %s of %s", token, msg.Subject)
		}
		wake, err := woken.NextMsgWithContext(r.Ctx())
		if err != nil {
			t.Fatal(err)
		}
		source, lane, ok := p.ParseWake(wake.Subject)
		if !ok || source != "clinic-a" || lane != want || len(wake.Data) != 0 {
			t.Errorf("%s wakes by %s with %d bytes: %s, %s, %v", subject, wake.Subject, len(wake.Data), source, lane, ok)
		}
	}
}

// A fleet of 5,000 clinics of which half are busy at once has more consumers than the server's
// own bound, 1,000.
func TestStreams_OutTakesAConsumerForEverySource(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	var p contract.Prefix
	err := each(1001, func(i int) error {
		source := "s" + strconv.Itoa(i)
		_, err := r.JS.CreateConsumer(r.Ctx(), p.OutStream(), jetstream.ConsumerConfig{
			Durable: p.SendConsumer(source), AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{p.SendSubject(source), p.SendSubject(source) + ".>"},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A publisher must not be able to remove what others have stored.
func TestStreams_OutRefusesInstructions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	subject := contract.Prefix("").SendSubject("clinic-a")
	r.MustPublish(subject)
	for name, value := range map[string]string{
		"Nats-Rollup": "all", "Nats-TTL": "1s", "Nats-Schedule": "@at 2030-01-01T00:00:00Z",
	} {
		if _, err := r.Publish(subject, name, value); jsapi.Code(err) == 0 {
			t.Errorf("%s: error %v, want a refusal", name, err)
		}
	}
	if n := r.Stream("REDOX_OUT").State.Msgs; n != 1 {
		t.Errorf("%d messages stored, want the first alone", n)
	}
}

func TestStreams_OutFullRefusesThePublisher(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	subject := contract.Prefix("").SendSubject("clinic-a")
	r.MustPublish(subject)
	if _, err := r.Publish(subject); jsapi.Code(err) != jsapi.CodeStoreFailed {
		t.Errorf("error %v, want %d", err, jsapi.CodeStoreFailed)
	}
	if first := r.Stream("REDOX_OUT").State.FirstSeq; first != 1 {
		t.Errorf("the first message is now %d", first)
	}
}

func TestStreams_LedgerTakesATTLForEachKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	kv, err := r.JS.KeyValue(r.Ctx(), contract.Prefix("").LedgerBucket())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(r.Ctx(), "message", []byte("1"), jetstream.KeyTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	watch, err := kv.Watch(r.Ctx(), "message", jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	select {
	case entry := <-watch.Updates():
		if entry.Operation() == jetstream.KeyValuePut {
			t.Errorf("operation %v, want the marker of an end", entry.Operation())
		}
	case <-ctx.Done():
		t.Fatal("the key did not end")
	}
	if _, err := kv.Get(r.Ctx(), "message"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("error %v, want no such key", err)
	}
}

func TestStreams_AdvisoriesAreCaptured(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	r.MustPublish(contract.Prefix("").SendSubject("clinic-a"))
	msg, err := r.Reader("clinic-a", "send").Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.TermWithReason("a test"); err != nil {
		t.Fatal(err)
	}
	advisories, err := r.JS.OrderedConsumer(r.Ctx(), "REDOX_ADVISORIES", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := advisories.Next(jetstream.FetchMaxWait(2 * time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if want := "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.REDOX_OUT.clinic-a-send"; got.Subject() != want {
		t.Errorf("captured %s, want %s", got.Subject(), want)
	}
}
