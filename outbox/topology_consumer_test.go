package outbox

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func TestEnsure_RepairsConsumers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(*jetstream.ConsumerConfig)
		want   string
	}{
		"ack wait":      {func(c *jetstream.ConsumerConfig) { c.AckWait = time.Minute }, "ack_wait 1m0s -> 30s"},
		"max deliver":   {func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }, "max_deliver 5 -> -1"},
		"order":         {func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 100 }, "max_ack_pending 100 -> 1"},
		"headers only":  {func(c *jetstream.ConsumerConfig) { c.HeadersOnly = true }, "headers_only true -> false"},
		"threshold":     {func(c *jetstream.ConsumerConfig) { c.InactiveThreshold = time.Hour }, "inactive_threshold 1h0m0s -> 0s"},
		"batch":         {func(c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 1 }, "max_batch 1 -> 0"},
		"expires":       {func(c *jetstream.ConsumerConfig) { c.MaxRequestExpires = time.Second }, "max_expires 1s -> 0s"},
		"bytes":         {func(c *jetstream.ConsumerConfig) { c.MaxRequestMaxBytes = 10 }, "max_bytes 10 -> 0"},
		"other subject": {func(c *jetstream.ConsumerConfig) { c.FilterSubject = "redox.out.clinic-x.send" }, "filter_subject redox.out.clinic-x.send -> redox.out.clinic-a.ordered.1"},
		"many subjects": {func(c *jetstream.ConsumerConfig) {
			c.FilterSubject, c.FilterSubjects = "", []string{"redox.out.clinic-x.send", "redox.out.clinic-a.ordered.1"}
		}, "filter_subjects [redox.out.clinic-x.send"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTopologyRig(t)
			r.ensure(small())
			before := r.consumer("clinic-a-ordered-1").Config
			damaged := before
			c.damage(&damaged)
			if _, err := r.js.UpdateConsumer(r.ctx(), "REDOX_OUT", damaged); err != nil {
				t.Fatal(err)
			}
			changes := r.ensure(small())
			if len(changes) != 1 || changes[0].Action != Update || !strings.HasPrefix(changes[0].Detail, c.want) {
				t.Errorf("changes %v, want one update %q", changes, c.want)
			}
			if diff := cmp.Diff(before, r.consumer("clinic-a-ordered-1").Config); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
			r.settled(small())
		})
	}
}

func TestEnsure_RemovesBackOff(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(small())
	cfg := r.consumer("clinic-a-send").Config
	cfg.MaxDeliver, cfg.BackOff = 3, []time.Duration{time.Second, time.Minute}
	if _, err := r.js.UpdateConsumer(r.ctx(), "REDOX_OUT", cfg); err != nil {
		t.Fatal(err)
	}
	r.ensure(small())
	got := r.consumer("clinic-a-send").Config
	if len(got.BackOff) != 0 || got.AckWait != 30*time.Second || got.MaxDeliver != -1 {
		t.Errorf("backoff %v, ack wait %v, max deliver %d", got.BackOff, got.AckWait, got.MaxDeliver)
	}
}

func TestEnsure_KeepsAPause(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(small())
	if _, err := r.js.PauseConsumer(r.ctx(), "REDOX_OUT", "clinic-a-send", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.settled(small())
	slower := small()
	slower.AckWait = time.Minute
	r.ensure(slower)
	got := r.consumer("clinic-a-send")
	if !got.Paused || got.Config.AckWait != time.Minute {
		t.Errorf("paused %v, ack wait %v", got.Paused, got.Config.AckWait)
	}
}

func TestEnsure_ShortensNoAckWaitInUse(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	longer := small()
	longer.AckWait = time.Minute
	r.ensure(longer)
	r.mustPublish("redox.out.clinic-a.send")
	c, err := r.js.Consumer(r.ctx(), "REDOX_OUT", "clinic-a-send")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	left := withAction(r.ensure(small()), Leave)
	if len(left) != 1 || left[0].Name != "clinic-a-send" || !strings.HasPrefix(left[0].Detail, "ack_wait is 1m0s, not 30s") {
		t.Errorf("left %v", left)
	}
	if wait := r.consumer("clinic-a-send").Config.AckWait; wait != time.Minute {
		t.Errorf("ack wait %v", wait)
	}
	if err := msg.DoubleAck(r.ctx()); err != nil {
		t.Fatal(err)
	}
	r.ensure(small())
	r.settled(small())
}

func TestEnsure_LeavesASmallMaxWaiting(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.createStream(small().WithDefaults().outStream())
	cfg := small().Consumers()[0]
	cfg.MaxWaiting = 512
	if _, err := r.js.CreateConsumer(r.ctx(), "REDOX_OUT", cfg); err != nil {
		t.Fatal(err)
	}
	left := withAction(r.ensure(small()), Leave)
	if len(left) != 1 || !strings.Contains(left[0].Detail, "max_waiting is 512") {
		t.Errorf("left %v", left)
	}
}

func TestEnsure_AnotherConsumerTakesTheMessages(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.createStream(small().WithDefaults().outStream())
	greedy := jetstream.ConsumerConfig{Durable: "greedy", FilterSubject: "redox.out.clinic-a.>", AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := r.js.CreateConsumer(r.ctx(), "REDOX_OUT", greedy); err != nil {
		t.Fatal(err)
	}
	if _, err := small().Ensure(r.ctx(), r.js); err == nil || !strings.Contains(err.Error(), "stop what reads from it and delete it") {
		t.Errorf("error %v", err)
	}
	if err := r.js.DeleteConsumer(r.ctx(), "REDOX_OUT", "greedy"); err != nil {
		t.Fatal(err)
	}
	r.ensure(small()) // the mend works
}

func TestConsumerDrift_Refuses(t *testing.T) {
	t.Parallel()
	want := small().Consumers()[0]
	for name, damage := range map[string]func(*jetstream.ConsumerConfig){
		"ack_policy":      func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy },
		"deliver_policy":  func(c *jetstream.ConsumerConfig) { c.DeliverPolicy = jetstream.DeliverNewPolicy },
		"replay_policy":   func(c *jetstream.ConsumerConfig) { c.ReplayPolicy = jetstream.ReplayOriginalPolicy },
		"mem_storage":     func(c *jetstream.ConsumerConfig) { c.MemoryStorage = true },
		"deliver_subject": func(c *jetstream.ConsumerConfig) { c.DeliverSubject = "elsewhere" },
		"priority_groups": func(c *jetstream.ConsumerConfig) { c.PriorityPolicy = jetstream.PriorityPolicyPinned },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			have := want
			damage(&have)
			d := consumerDrift(want, have)
			if len(d.changes) != 1 || d.changes[0].Action != Refuse || !strings.HasPrefix(d.changes[0].Detail, name) || d.updated() {
				t.Errorf("changes %v, want one refusal of %s", d.changes, name)
			}
		})
	}
	if err := refusal([]Change{{Kind: "consumer", Name: "a-send", Action: Refuse, Detail: "ack_policy"}}); !errors.Is(err, ErrRefused) {
		t.Errorf("a refusal is %v", err)
	}
	if d := consumerDrift(want, want); len(d.changes) != 0 {
		t.Errorf("differs from itself: %v", d.changes)
	}
}
