package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// What the worker cannot rule out, it says: a message that somebody had and did not bring
// to an end is a possible duplicate; one that was handed back unsent is not.
func TestGuarantee_PossibleDuplicatesAreSaid(t *testing.T) {
	inBubble(t, func(r *rig) {
		id := r.publish(outbox.Message{})
		r.lose()
		var entries []audit.Entry
		stop := r.start(worker.Config{Audit: func(_ context.Context, e audit.Entry) error { entries = append(entries, e); return nil }})
		if e := r.awaitSettled(id); !e.PossibleDuplicate || e.Settlement != outbox.Delivered {
			t.Errorf("settled %s, possible duplicate %v: a delivery before ended without a trace", e.Settlement, e.PossibleDuplicate)
		}
		if len(entries) != 1 || !entries[0].PossibleDuplicate || entries[0].Message != id || entries[0].Deliveries != 2 {
			t.Errorf("audit entries %+v", entries)
		}
		stop()
	})
}

// What its publisher may have published before is a possible duplicate to everybody: a late repeat
// of the SQL outbox.
func TestGuarantee_WhatMayHaveBeenPublishedBeforeIsSaid(t *testing.T) {
	for _, answer := range []outbox.Answer{{Status: 200}, {Status: 422}} {
		inBubble(t, func(r *rig) {
			r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
				if answer.Status != 200 {
					return answer, worker.Permanent(errFar)
				}
				return answer, nil
			}
			var mu sync.Mutex
			var entries []audit.Entry
			registry, log := prometheus.NewRegistry(), new(workertest.Output)
			r.start(worker.Config{Registerer: registry, Logger: slog.New(slog.NewTextHandler(log, nil)),
				Audit: func(_ context.Context, e audit.Entry) error {
					mu.Lock()
					defer mu.Unlock()
					entries = append(entries, e)
					return nil
				}})
			subject, replies := r.inbox()
			id := r.publish(outbox.Message{PossibleDuplicate: true, ReplyTo: subject})
			first := r.publish(outbox.Message{ReplyTo: subject}) // never before
			r.until("both are answered", func() bool { return len(replies()) == 2 })
			for _, reply := range replies() {
				if reply.PossibleDuplicate != (reply.MessageID == id) {
					t.Errorf("reply: possible duplicate %v", reply.PossibleDuplicate)
				}
			}
			for _, e := range append(r.all(worker.EventAttempt), r.awaitSettled(id), r.awaitSettled(first)) {
				if e.PossibleDuplicate != (e.MessageID == id) {
					t.Errorf("event %s: possible duplicate %v", e.Kind, e.PossibleDuplicate)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, e := range entries {
				if e.PossibleDuplicate != (e.Message == id) {
					t.Errorf("audit: possible duplicate %v", e.PossibleDuplicate)
				}
			}
			if n := counted(t, registry, "redoxworker_possible_duplicates_total"); n != 1 || len(entries) != 2 {
				t.Errorf("%v counted, %d audit entries", n, len(entries))
			}
			if n := strings.Count(log.String(), "a possible duplicate"); n != 1 {
				t.Errorf("%d lines: %s", n, log)
			}
			for _, letter := range r.deadLetters() {
				if marked := letter.Header.Get(contract.HeaderPossibleDuplicate); answer.Status == 200 || (marked != "") != (letter.MessageID == id) {
					t.Errorf("dead letter: possible duplicate %q", marked)
				}
			}
		})
	}
}

// counted is the sum of a counter over its labels.
func counted(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestGuarantee_UnsentMessagesAreNoDuplicates(t *testing.T) {
	inBubble(t, func(r *rig) {
		var up atomic.Bool
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if !up.Load() {
				return outbox.Answer{}, worker.NotAttempted(errFar, "key:main")
			}
			bubble.Sleep(20 * time.Second)
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{Concurrency: 4})
		r.publish(outbox.Message{ID: "first"})
		bubble.Sleep(time.Minute)
		up.Store(true)
		if e := r.awaitSettled("first"); e.PossibleDuplicate || e.Delivered < 3 || e.Attempt != 1 {
			t.Errorf("%+v: it waited, and was never sent before", e)
		}
		for i := range 10 {
			r.ordered(fmt.Sprint("m", i), "patient")
		}
		calls := len(r.far.Calls())
		r.until("the head is in flight", func() bool { return len(r.far.Calls()) > calls })
		bubble.Sleep(time.Second)
		stop() // hands back what is kept in hand
		r.start(worker.Config{})
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == 11 })
		again := 0
		for _, e := range r.all(worker.EventSettled) {
			if e.Delivered > 1 && e.MessageID != "first" {
				again++
			}
			if e.PossibleDuplicate {
				t.Errorf("%s: a possible duplicate, and it was only handed back", e.MessageID)
			}
		}
		if again == 0 {
			t.Error("nothing was handed back: the test shows nothing")
		}
	})
}
