package overview_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// embedded is a provisioned server, in the time of this world.
func embedded(t testing.TB) jetstream.JetStream {
	t.Helper()
	server, err := natsdev.Start(natsdev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	conn, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	return js
}

func storeAll(t testing.TB, js jetstream.JetStream, subjects []string) {
	t.Helper()
	for _, subject := range subjects {
		if _, err := js.PublishAsync(subject, []byte("{}"), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
}

// questions counts what is asked of JetStream from now on, by the beginning of the subject.
func questions(t testing.TB, js jetstream.JetStream) (asked func(prefix string) int) {
	t.Helper()
	all := make(chan *nats.Msg, 1<<16)
	sub, err := js.Conn().ChanSubscribe("$JS.API.>", all)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	var subjects []string
	return func(prefix string) (n int) {
		if err := js.Conn().Flush(); err != nil { // what was asked has come
			t.Error(err)
		}
		for len(all) > 0 {
			subjects = append(subjects, (<-all).Subject)
		}
		for _, subject := range subjects {
			if strings.HasPrefix(subject, prefix) {
				n++
			}
		}
		return n
	}
}

// A fleet of 5,000 sources, of which one has many order keys: what waits is counted where it is
// stored, and a source without a consumer is none the less there.
func TestGather_OfThousandsOfSources(t *testing.T) {
	t.Parallel()
	js := embedded(t)
	var subjects []string
	for i := range 5000 {
		subjects = append(subjects, prefix.SendSubject(fmt.Sprintf("clinic-%04d", i)))
	}
	for i := range 2000 {
		subjects = append(subjects, prefix.OrderedSubject("clinic-0007", fmt.Sprintf("%032x", i)))
	}
	subjects = append(subjects, prefix.OrderedSubject("clinic-0008", "no-token"), prefix.RequestSubject("clinic-0009"))
	storeAll(t, js, subjects)
	consumer, err := js.CreateConsumer(t.Context(), prefix.OutStream(), jetstream.ConsumerConfig{Durable: prefix.SendConsumer("clinic-0007"),
		AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{prefix.SendSubject("clinic-0007"), prefix.SendSubject("clinic-0007") + ".>"}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(3)
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() { // in hand from here on
	}
	g, err := overview.New(js, overview.Config{})
	if err != nil {
		t.Fatal(err)
	}
	asked := questions(t, js)
	o := g.Gather(t.Context())
	if all, list := asked("$JS.API."), asked("$JS.API.CONSUMER.LIST."); all == 0 || all > 250 || list > 0 {
		t.Errorf("%d questions, %d of them for lists of consumers", all, list)
	}
	if want := uint64(len(subjects)); o.Queue == nil || o.Queue.Messages != want || len(o.Backlogs) != 5001 || o.Queue.Astray != 0 || len(o.Unknown) > 0 {
		t.Fatalf("%+v of %d, %d backlogs, not known: %q", o.Queue, want, len(o.Backlogs), o.Unknown)
	}
	for _, want := range []overview.Backlog{
		{Source: "clinic-0007", Lane: contract.LaneSend, Messages: 2001, InHand: 3, Ordered: 2000},
		{Source: "clinic-0008", Lane: contract.LaneSend, Messages: 2, Ordered: 1},
		{Source: "clinic-0009", Lane: contract.LaneRequest, Messages: 1},
		{Source: "clinic-4999", Lane: contract.LaneSend, Messages: 1},
	} {
		got := backlog(t, o, want.Source, want.Lane)
		if got.Age, got.Why = 0, want.Why; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	ages := 0
	for i, b := range o.Backlogs {
		if b.Age > 0 {
			ages++
		} else if i < 64 {
			t.Errorf("the oldest message of %s is not known", b.Source)
		}
	}
	if ages != 64 {
		t.Errorf("the oldest messages of %d backlogs were looked for, want 64", ages)
	}
	if o.Queue.InHand != nil {
		t.Errorf("%d in hand, and not all consumers were asked", *o.Queue.InHand)
	}
}
