package operate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// Of a message that was moved nobody says that it was delivered who does not know: its dead letter may have
// been discarded, or have grown too old.
func TestFind_WhatWasMovedAndIsGone(t *testing.T) {
	inBubble(t, func(r *rig) {
		for _, id := range []string{"thrown", "dead", "old", "good"} {
			r.store("redox.out.clinic-gone.send", "Redox-Message-Id", id)
			r.answer(id, worker.Permanent(errors.New("no")))
		}
		r.answer("good", nil)
		_, err := r.move("clinic-gone", source)
		r.must(err)
		r.start()
		bubble.Sleep(10 * time.Second)
		for _, err := range r.desk.Discard(r.Context(), r.choose("thrown"), dlq.DiscardOptions{}, "a test message") {
			r.must(err)
		}
		stream, err := r.js.Stream(r.Context(), "REDOX_DLQ")
		r.must(err)
		r.must(stream.DeleteMsg(r.Context(), r.letter("old").DeadSequence))
		for id, want := range map[string]string{"thrown": "; see clinic-a", "dead": "; see clinic-a", "old": "; it is there no more: it may have been delivered, and its reply not kept",
			"good": "; it is there no more: it may have been delivered, and its reply not kept"} {
			found, err := operate.Find(r.Context(), r.js, "", id, operate.FindOptions{})
			r.must(err)
			if p := found.Places[len(found.Places)-1]; p.Source != "clinic-gone" || p.State != operate.MovedAway || !strings.HasSuffix(p.Why, want) {
				t.Errorf("%s: %+v", id, p)
			}
		}
	})
}
