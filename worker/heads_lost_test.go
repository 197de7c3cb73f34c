package worker_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// record is what the ledger knows of a message.
func (r *rig) record(id string, sequence uint64) (rec ledger.Record) {
	r.Helper()
	kv := r.bucket("REDOX_LEDGER")
	entry, err := kv.Get(r.Context(), source+"."+contract.Prefix("").DeadToken(id, sequence))
	if err != nil {
		r.Fatal(err)
	}
	if err := json.Unmarshal(entry.Value(), &rec); err != nil {
		r.Fatal(err)
	}
	return rec
}

// handBack has a worker hand back the second message of a token, which was delivered before, again and
// again behind a first one that somebody else has.
func (r *rig) handBack(record map[string]any) ledger.Record {
	r.Helper()
	r.ordered("first", "patient")
	r.ordered("second", "patient")
	c, err := r.consumer(source + "-send")
	if err != nil {
		r.Fatal(err)
	}
	if _, err := c.Next(); err != nil {
		r.Fatal(err)
	}
	second, err := c.Next()
	if err != nil {
		r.Fatal(err)
	}
	if record != nil {
		r.note("second", 2, record)
	}
	if err := second.Nak(); err != nil {
		r.Fatal(err)
	}
	stop := r.start(worker.Config{})
	defer stop()
	bubble.Sleep(5 * time.Second)
	return r.record("second", 2)
}

// A follower that a worker had in hand that was killed is handed back by another. The ledger says
// when it comes again, so that anybody can wake it; and still that it may have been sent.
func TestHeads_WhatADeadWorkerHadIsNotedWhenItIsHandedBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		if rec := r.handBack(nil); !rec.Next.After(time.Now()) || rec.Started != 1 || rec.Ended != 0 {
			t.Errorf("the ledger says %+v", rec)
		}
	})
}

// A message that waits for its next attempt and is not sent when that is due gets no older by what
// it waits for then.
func TestAge_WhatIsHandedBackUnsentGetsNoOlder(t *testing.T) {
	inBubble(t, func(r *rig) {
		failed := time.Now()
		rec := r.handBack(map[string]any{"ended": 1, "attempts": 1, "since": failed, "next": failed.Add(time.Second)})
		if age := rec.AgeAt(time.Now().Add(time.Hour)); age > 4*time.Second || rec.Attempts != 1 {
			t.Errorf("an hour later it is %v old: %+v", age, rec)
		}
	})
}

// A head that was handed back for long by a worker that is gone is woken by who settles the one
// before it, also if another worker had it before and was killed. One that may be being sent, and
// one that waits for its next attempt, are not.
func TestHeads_OneThatNobodyRemembersIsWoken(t *testing.T) {
	for name, c := range map[string]struct {
		record map[string]any
		woken  bool
	}{
		"handed back":                         {map[string]any{"ended": 1}, true},
		"handed back after a worker's death":  {map[string]any{"started": 1}, true},
		"begun by a worker":                   {map[string]any{"started": 1, "begun": "2000-01-01T00:00:00Z"}, false},
		"tried, and waits for the next trial": {map[string]any{"ended": 1, "attempts": 1, "since": "2000-01-01T00:00:00Z"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.ordered("first", "patient")
				r.ordered("second", "patient")
				consumer, err := r.consumer(source + "-send")
				if err != nil {
					t.Fatal(err)
				}
				for _, delay := range []time.Duration{time.Second, time.Hour} {
					msg, err := consumer.Next()
					if err != nil {
						t.Fatal(err)
					}
					if err := msg.NakWithDelay(delay); err != nil {
						t.Fatal(err)
					}
				}
				c.record["next"] = time.Now().Add(time.Hour)
				r.note("second", 2, c.record)
				r.start(worker.Config{})
				r.awaitSettled("first")
				bubble.Sleep(time.Minute)
				synctest.Wait()
				if _, settled := r.settled("second"); settled != c.woken {
					t.Errorf("woken: %v, want %v", settled, c.woken)
				}
			})
		})
	}
}
