package topology

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// Each case damages one stream as an operator could, and expects Ensure to
// mend it and to say so.
func TestEnsure_RepairsStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stream string
		damage func(*jetstream.StreamConfig)
		want   string
	}{
		"discard old":     {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard DiscardOld -> DiscardNew"},
		"max age":         {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age 1h0m0s -> 0s"},
		"window":          {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute }, "duplicate_window 1m0s -> 10m0s"},
		"rollup":          {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.AllowRollup = true }, "allow_rollup true -> false"},
		"no ack":          {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.NoAck = true }, "no_ack true -> false"},
		"one per subject": {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "max_msgs_per_subject 1 -> -1"},
		"transform": {"REDOX_OUT", func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "redox.out.*.send.*", Destination: "redox.out.{{wildcard(1)}}.ordered.{{partition(4,2)}}"}
		}, "subject_transform redox.out.{{wildcard(1)}}.ordered.{{partition(4,2)}} -> none"},
		"consumers": {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxConsumers = -1 }, "max_consumers -1 -> 1048576"},
		"no wake":   {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.RePublish = nil }, "republish none -> redox.wake.> (headers only)"},
		"wake with bodies": {"REDOX_OUT", func(c *jetstream.StreamConfig) { c.RePublish.HeadersOnly = false },
			"republish redox.wake.> (headers and body) -> redox.wake.> (headers only)"},
		"wake elsewhere": {"REDOX_OUT", func(c *jetstream.StreamConfig) {
			c.RePublish = &jetstream.RePublish{Source: "redox.out.a.>", Destination: "else.>", HeadersOnly: true}
		}, "republish else.> (headers only) -> redox.wake.> (headers only)"},
		"subject lost":     {"REDOX_ADVISORIES", func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] }, "subjects + $JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.REDOX_OUT.>"},
		"dead direct get":  {"REDOX_DLQ", func(c *jetstream.StreamConfig) { c.AllowDirect = false }, "allow_direct false -> true"},
		"dead max age":     {"REDOX_DLQ", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age 1h0m0s -> 0s"},
		"dead interest":    {"REDOX_DLQ", func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "retention Interest -> Limits"},
		"replies age":      {"REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age 1h0m0s -> 24h0m0s"},
		"replies for ever": {"REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxAge = 0 }, "max_age 0s -> 24h0m0s"},
		"bucket discard":   {"KV_REDOX_STATE", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard DiscardOld -> DiscardNew"},
		"bucket max age":   {"KV_REDOX_LEDGER", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age 1h0m0s -> 0s"},
		"marker":           {"KV_REDOX_LEDGER", func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = 0 }, "subject_delete_marker_ttl 0s -> 1m0s"},
		"stale ledger":     {"KV_REDOX_LEDGER", func(c *jetstream.StreamConfig) { c.AllowDirect = true }, "allow_direct true -> false"},
		"stale bodies":     {"OBJ_REDOX_BODIES", func(c *jetstream.StreamConfig) { c.AllowDirect = true }, "allow_direct true -> false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.ensure(small())
			before := r.Stream(c.stream).Config
			r.UpdateStream(c.stream, c.damage)
			drift, err := small().Drift(r.Ctx(), r.JS)
			if err != nil {
				t.Fatal(err)
			}
			if len(drift) != 1 || drift[0].Action != Update || !strings.HasPrefix(drift[0].Detail, c.want) {
				t.Errorf("drift %v, want one update %q", drift, c.want)
			}
			if diff := cmp.Diff(drift, r.ensure(small())); diff != "" {
				t.Errorf("Ensure made other changes than Drift announced:\n%s", diff)
			}
			if diff := cmp.Diff(before, r.Stream(c.stream).Config); diff != "" {
				t.Errorf("not as before (-before +after):\n%s", diff)
			}
			r.settled(small())
		})
	}
}

// What an operator may set for himself is neither reported nor touched.
func TestEnsure_KeepsWhatIsTheOperators(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ensure(small())
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) {
		c.MaxBytes, c.MaxMsgs, c.MaxMsgSize, c.Duplicates = 1<<30, 1_000_000, 1<<20, time.Hour
		c.Description, c.Metadata = "ours", map[string]string{"team": "interfaces"}
		c.DenyDelete, c.AllowDirect, c.Compression = true, true, jetstream.S2Compression
	})
	r.UpdateStream("KV_REDOX_STATE", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 })
	r.settled(small())
	r.UpdateStream("REDOX_OUT", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
	r.ensure(small())
	got := r.Stream("REDOX_OUT").Config
	if got.Discard != jetstream.DiscardNew || got.MaxBytes != 1<<30 || got.Metadata["team"] != "interfaces" || !got.DenyDelete {
		t.Errorf("the repair of one thing changed others: %+v", got)
	}
}

func TestEnsure_RefusesToWeakenStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		create jetstream.StreamConfig
		want   string
	}{
		"no work queue":   {jetstream.StreamConfig{Name: "REDOX_OUT", Subjects: []string{"redox.out.>"}}, "retention is Limits"},
		"work queue":      {jetstream.StreamConfig{Name: "REDOX_DLQ", Subjects: []string{"redox.dlq.>"}, Retention: jetstream.WorkQueuePolicy}, "retention is WorkQueue"},
		"memory":          {jetstream.StreamConfig{Name: "REDOX_REPLIES", Subjects: []string{"redox.reply.>"}, Storage: jetstream.MemoryStorage}, "storage is Memory"},
		"foreign subject": {jetstream.StreamConfig{Name: "REDOX_DLQ", Subjects: []string{"redox.dlq.>", "elsewhere"}}, "also takes elsewhere"},
		"schedules":       {jetstream.StreamConfig{Name: "REDOX_REPLIES", Subjects: []string{"redox.reply.>"}, AllowMsgSchedules: true}, "allow_msg_schedules is true"},
		"ttl":             {jetstream.StreamConfig{Name: "REDOX_OUT", Subjects: []string{"redox.out.>"}, Retention: jetstream.WorkQueuePolicy, AllowMsgTTL: true}, "allow_msg_ttl is true"},
		"no purge":        {jetstream.StreamConfig{Name: "REDOX_DLQ", Subjects: []string{"redox.dlq.>"}, DenyPurge: true}, "deny_purge is true"},
		"no delete":       {jetstream.StreamConfig{Name: "REDOX_DLQ", Subjects: []string{"redox.dlq.>"}, DenyDelete: true}, "deny_delete is true"},
		"async":           {jetstream.StreamConfig{Name: "REDOX_DLQ", Subjects: []string{"redox.dlq.>"}, PersistMode: jetstream.AsyncPersistMode}, "persist_mode is"},
		"a mirror":        {jetstream.StreamConfig{Name: "REDOX_REPLIES", Mirror: &jetstream.StreamSource{Name: "ELSEWHERE"}}, "a mirror is true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.CreateStream(c.create)
			changes, err := small().Ensure(r.Ctx(), r.JS)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want a refusal with %q", err, c.want)
			}
			refused := withAction(changes, Refuse)
			if len(refused) == 1 && strings.Contains(refused[0].Detail, "cannot be changed") && !strings.Contains(refused[0].Detail, "what is still in it is lost by that") {
				t.Errorf("%s does not say what deleting does", refused[0].Detail)
			}
			if len(refused) != 1 || !strings.Contains(refused[0].Detail, c.want) {
				t.Errorf("refused %v, want %q", refused, c.want)
			}
			if made := withAction(changes, Create); len(made) != 7 {
				t.Errorf("%d things created beside it, want all 7: %v", len(made), changes)
			}
			if r.Stream(c.create.Name).Config.Storage != c.create.Storage {
				t.Error("the stream was made anew")
			}
		})
	}
}

func TestEnsure_ShortensMaxAgeOnlyWhenNothingIsLost(t *testing.T) {
	t.Parallel()
	aged := small()
	aged.DeadMaxAge = time.Hour
	now := time.Now()
	for name, c := range map[string]struct {
		have  time.Duration
		state jetstream.StreamState
		want  Action
	}{
		"empty":           {0, jetstream.StreamState{}, Update},
		"young":           {0, jetstream.StreamState{Msgs: 1, FirstTime: now.Add(-time.Minute)}, Update},
		"old":             {0, jetstream.StreamState{Msgs: 1, FirstTime: now.Add(-2 * time.Hour)}, Refuse},
		"old, was longer": {48 * time.Hour, jetstream.StreamState{Msgs: 9, FirstTime: now.Add(-2 * time.Hour)}, Refuse},
		"was shorter":     {time.Minute, jetstream.StreamState{Msgs: 9, FirstTime: now.Add(-2 * time.Hour)}, Update},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := aged.Streams()[1] // of dead letters
			have := want
			have.MaxAge = c.have
			d := streamDrift(want, &jetstream.StreamInfo{Config: have, State: c.state})
			if len(d.changes) != 1 || d.changes[0].Action != c.want {
				t.Fatalf("changes %v, want one %s", d.changes, c.want)
			}
			if kept := d.have.MaxAge == c.have; kept != (c.want == Refuse) {
				t.Errorf("max age would be %v", d.have.MaxAge)
			}
		})
	}
}

func TestStreamDrift_Replicas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have, want int
		action     Action
	}{{1, 3, Update}, {3, 1, Refuse}, {5, 3, Refuse}, {3, 3, ""}, {0, 1, Update}} {
		topology := Topology{Replicas: c.want}.WithDefaults()
		have := topology.Streams()[0]
		have.Replicas = c.have
		d := streamDrift(topology.Streams()[0], &jetstream.StreamInfo{Config: have})
		var got Action
		if len(d.changes) > 0 {
			got = d.changes[0].Action
		}
		if got != c.action || len(d.changes) > 1 {
			t.Errorf("%d -> %d: %v, want %q", c.have, c.want, d.changes, c.action)
		}
		if c.action == Refuse && d.have.Replicas != c.have {
			t.Errorf("%d -> %d would be written", c.have, d.have.Replicas)
		}
	}
}
