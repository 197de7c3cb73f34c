package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// rig is a ledger in fake time, and a message that the queue has stored an hour later.
type rig struct {
	*testing.T
	js jetstream.JetStream
	kv jetstream.KeyValue
	l  *ledger.Ledger
	m  outbox.Message
}

func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	workertest.Bubble(t, func(t *testing.T, js jetstream.JetStream) {
		r := &rig{T: t, js: js, l: ledger.New(js, "")}
		_, err := topology.Topology{}.Ensure(t.Context(), js)
		r.must(err)
		r.kv, err = js.KeyValue(t.Context(), "REDOX_LEDGER")
		r.must(err)
		bubble.Sleep(time.Hour)
		r.m = outbox.Message{Source: "clinic-a", ID: "m", Sequence: 7, Lane: contract.LaneSend, Stored: time.Now().UTC()}
		f(r)
	})
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) load(m outbox.Message) (ledger.Record, uint64) {
	r.Helper()
	rec, revision, err := r.l.Load(r.Context(), m)
	r.must(err)
	rec.Stored = time.Time{}
	return rec, revision
}

// Two that start from the same record do not both write.
func TestLedger_ReplaceWritesOverTheRevisionThatWasRead(t *testing.T) {
	inBubble(t, func(r *rig) {
		_, none := r.load(r.m)
		r.must(r.l.Replace(r.Context(), r.m, ledger.Record{Started: 1}, none))
		if err := r.l.Replace(r.Context(), r.m, ledger.Record{Started: 5}, none); !dlq.IsAlreadyStored(err) {
			r.Errorf("in the place of none, where there is one: %v", err)
		}
		rec, revision := r.load(r.m)
		if rec != (ledger.Record{Started: 1}) {
			r.Errorf("%+v", rec)
		}
		r.must(r.l.Replace(r.Context(), r.m, ledger.Record{Started: 2}, revision))
		if err := r.l.Replace(r.Context(), r.m, ledger.Record{Started: 9}, revision); !dlq.IsAlreadyStored(err) {
			r.Errorf("in the place of one that is older: %v", err)
		}
		r.must(r.l.Create(r.Context(), r.m, ledger.Record{Started: 9})) // is no error, and writes nothing
		if rec, _ := r.load(r.m); rec.Started != 2 {
			r.Errorf("%+v", rec)
		}
	})
}

// A record leaves a marker when it expires or is deleted: there is none all the same.
func TestLedger_ReplaceOverWhatIsGone(t *testing.T) {
	for name, lose := range map[string]func(r *rig){
		"expired": func(r *rig) { r.l.Retire(r.m, ledger.Record{Attempts: 1}); bubble.Sleep(25 * time.Hour) },
		"deleted": func(r *rig) {
			keys, err := r.kv.Keys(r.Context())
			r.must(err)
			for _, key := range keys {
				r.must(r.kv.Delete(r.Context(), key))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.must(r.l.Store(r.Context(), r.m, ledger.Record{Attempts: 1}))
				lose(r)
				rec, revision := r.load(r.m)
				if rec != (ledger.Record{}) || revision != 0 {
					r.Fatalf("%+v, revision %d", rec, revision)
				}
				r.must(r.l.Replace(r.Context(), r.m, ledger.Record{Started: 1}, 0))
			})
		})
	}
}

// What is not settled is remembered for as long as it takes, what is acknowledged for a day.
func TestLedger_RecordsLiveForAYearAndForADayAfterTheAck(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.l.Store(r.Context(), r.m, ledger.Record{Attempts: 3}))
		stream, err := r.js.Stream(r.Context(), r.l.Stream())
		r.must(err)
		msg, err := stream.GetLastMsgForSubject(r.Context(), r.l.Subjects(r.m.Source))
		r.must(err)
		if ttl, err := time.ParseDuration(msg.Header.Get(jetstream.MsgTTLHeader)); err != nil || ttl != 365*24*time.Hour {
			r.Errorf("it lives for %v, %v", ttl, err)
		}
		r.l.Retire(r.m, ledger.Record{Attempts: 3, Settled: outbox.Delivered})
		bubble.Sleep(23 * time.Hour)
		if rec, _ := r.load(r.m); rec.Settled != outbox.Delivered {
			r.Errorf("23 hours after the ack: %+v", rec)
		}
		bubble.Sleep(2 * time.Hour)
		if rec, _ := r.load(r.m); rec != (ledger.Record{}) {
			r.Errorf("25 hours after the ack: %+v", rec)
		}
	})
}

// A queue that was made anew gives names and sequences away again.
func TestLedger_ARecordIsOfOneQueue(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.l.Store(r.Context(), r.m, ledger.Record{Attempts: 3, Intent: true}))
		r.must(r.l.HoldByHand(r.Context(), r.m))
		later := r.m
		later.Stored = r.m.Stored.Add(time.Minute)
		if rec, revision := r.load(later); rec != (ledger.Record{}) || revision == 0 {
			r.Errorf("%+v, revision %d: one of another queue", rec, revision)
		}
		for m, want := range map[*outbox.Message]bool{&r.m: true, &later: false} {
			if held, err := r.l.HeldByHand(r.Context(), *m); err != nil || held != want {
				r.Errorf("held %v, %v; want %v", held, err, want)
			}
		}
	})
}

func TestLedger_DecisionsAreAboutTheirMessages(t *testing.T) {
	inBubble(t, func(r *rig) {
		other := r.m
		other.Source = "clinic-b"
		r.must(r.l.HoldByHand(r.Context(), r.m))
		decided, err := r.l.Decisions(r.Context())
		r.must(err)
		if !decided.About(r.m) || decided.About(other) || (*ledger.Decisions)(nil).About(r.m) {
			r.Errorf("about m %v, about another source's %v", decided.About(r.m), decided.About(other))
		}
	})
}

func TestLedger_ExonerateTakesOneStartBack(t *testing.T) {
	for name, c := range map[string]struct {
		before ledger.Record
		alibi  ledger.Alibi
		after  ledger.Record
	}{
		"noted":             {ledger.Record{Started: 2, Alone: 1}, ledger.Alibi{Noted: true}, ledger.Record{Started: 1, Alone: 1}},
		"alone":             {ledger.Record{Started: 2, Alone: 1}, ledger.Alibi{Noted: true, Alone: true}, ledger.Record{Started: 1}},
		"sent":              {ledger.Record{Started: 1}, ledger.Alibi{Noted: true, Sent: true}, ledger.Record{Unknown: true}},
		"settled meanwhile": {ledger.Record{Started: 1, Settled: outbox.Delivered}, ledger.Alibi{Noted: true}, ledger.Record{Started: 1, Settled: outbox.Delivered}},
		"not noted":         {ledger.Record{}, ledger.Alibi{Sent: true}, ledger.Record{Unknown: true}},
		"lost since":        {ledger.Record{}, ledger.Alibi{Noted: true}, ledger.Record{}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				if c.before != (ledger.Record{}) {
					r.must(r.l.Store(r.Context(), r.m, c.before))
				}
				r.must(r.l.Exonerate(r.Context(), r.m, c.alibi))
				if rec, _ := r.load(r.m); rec != c.after {
					r.Errorf("%+v, want %+v", rec, c.after)
				}
			})
		})
	}
}

// What was stored before the ledger was purged may have been in somebody's hand, what was stored
// after it not.
func TestLedger_ForgotWhatIsOlderThanItself(t *testing.T) {
	inBubble(t, func(r *rig) {
		_, err := r.l.Born(r.Context())
		r.must(err)
		forgot, err := r.l.Forgot(r.Context(), r.m)
		if err != nil || forgot {
			r.Errorf("forgot %v, %v: it is younger than the ledger", forgot, err)
		}
		stream, err := r.js.Stream(r.Context(), r.l.Stream())
		r.must(err)
		bubble.Sleep(time.Minute)
		r.must(stream.Purge(r.Context()))
		if forgot, err := r.l.Forgot(r.Context(), r.m); err != nil || !forgot {
			r.Errorf("purged: forgot %v, %v", forgot, err)
		}
		bubble.Sleep(time.Minute)
		r.m.Stored = time.Now()
		if forgot, err := r.l.Forgot(r.Context(), r.m); err != nil || forgot {
			r.Errorf("stored since: forgot %v, %v", forgot, err)
		}
	})
}

func TestLedger_ADamagedRecordIsTold(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.must(r.l.Store(r.Context(), r.m, ledger.Record{Attempts: 1}))
		keys, err := r.kv.Keys(r.Context())
		r.must(err)
		for _, key := range keys {
			_, err := r.kv.Put(r.Context(), key, []byte("{"))
			r.must(err)
		}
		if _, revision, err := r.l.Load(r.Context(), r.m); !errors.Is(err, ledger.ErrDamaged) || revision == 0 {
			r.Errorf("revision %d, %v", revision, err)
		}
	})
}

func TestRecord_AgeGrowsThroughWaitsThatItAskedFor(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		r    ledger.Record
		at   time.Duration // after since
		want time.Duration
	}{
		"no wait":           {ledger.Record{Age: time.Hour}, 5 * time.Hour, time.Hour},
		"at its time":       {ledger.Record{Age: time.Hour, Since: since, Next: since.Add(time.Minute)}, time.Minute, time.Hour + time.Minute},
		"early":             {ledger.Record{Age: time.Hour, Since: since, Next: since.Add(time.Minute)}, time.Second, time.Hour + time.Second},
		"hours late":        {ledger.Record{Age: time.Hour, Since: since, Next: since.Add(time.Minute)}, 5 * time.Hour, time.Hour + time.Minute + 2*time.Second},
		"by a clock behind": {ledger.Record{Age: time.Hour, Since: since, Next: since.Add(time.Minute)}, -time.Minute, time.Hour},
	} {
		if got := c.r.AgeAt(since.Add(c.at)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
