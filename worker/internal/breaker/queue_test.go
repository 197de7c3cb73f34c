package breaker

import (
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// While the shared state is out of reach, what is to be told of a scope does not pile up, and
// afterwards the others know how it ended.
func TestSync_QueueStaysShortWhileNobodyCanBeTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, works := range map[string]bool{"still down": false, "works again": true} {
			g := newRig(scopes{"a": {"host:h"}})
			s := NewSync(NewStore(nil, "REDOX_STATE", nil), "me", g.Breaker, slog.New(slog.DiscardHandler))
			g.lose()
			for range 1000 {
				p := g.Admit(t.Context(), "a")
				p.Fail("host:h", 0)
				p.Drop()
				bubble.Sleep(5 * time.Second)
			}
			if works {
				g.Admit(t.Context(), "a").Clear()
			}
			if n := len(s.queue); n > 4 {
				t.Errorf("%s: %d updates wait", name, n)
			}
			state, _ := decodeShared(nil)
			for i, u := range s.queue {
				if u, is := u.due(time.Now(), s.queue[i+1:]); is {
					state.apply(u, "me")
				}
			}
			if p, paused := state.Scopes["host:h"]; paused == works || paused && p.Failures != 1000 {
				t.Errorf("%s: the others then know of %+v", name, state.Scopes)
			}
		}
	})
}

// What takes the place of what, by its kind and base.
func TestQueued(t *testing.T) {
	t.Parallel()
	p := func(base uint64) update { return update{kind: pausing, scope: "s", base: base} }
	r := func(base uint64) update { return update{kind: resuming, scope: "s", base: base} }
	other, claim := update{kind: pausing, scope: "t"}, update{kind: claiming, scope: "s", base: 7}
	for _, tc := range []struct{ posted, want []update }{
		{[]update{p(0), p(1), p(2)}, []update{p(0)}},
		{[]update{p(0), p(1), r(2)}, nil},
		{[]update{p(7), p(8), other}, []update{p(7), other}},
		{[]update{p(7), p(lengthening), r(8)}, []update{r(7)}},
		{[]update{p(lengthening), p(lengthening), p(7)}, []update{p(7)}},
		{[]update{p(lengthening), r(7)}, []update{r(7)}},
		{[]update{r(7), p(0), r(1), p(0)}, []update{r(7), p(0)}},
		{[]update{claim, p(7), other, r(8)}, []update{claim, other, r(7)}},
	} {
		var queue []update
		for _, u := range tc.posted {
			queue = queued(queue, u)
		}
		if !slices.Equal(queue, tc.want) {
			t.Errorf("%+v became %+v, want %+v", tc.posted, queue, tc.want)
		}
	}
}

// What is being written is not replaced meanwhile: the others may know of it by then.
func TestSync_WhatIsBeingWrittenStays(t *testing.T) {
	t.Parallel()
	g := newRig(scopes{"a": {"host:h"}})
	s := NewSync(NewStore(nil, "REDOX_STATE", nil), "me", g.Breaker, slog.New(slog.DiscardHandler))
	s.post(update{kind: pausing, scope: "host:h"})
	s.due()
	s.post(update{kind: pausing, scope: "host:h", base: 1})
	s.post(update{kind: resuming, scope: "host:h", base: 2})
	if len(s.queue) != 2 || s.queue[0].kind != pausing || s.queue[1].kind != resuming || s.queue[1].base != 1 {
		t.Errorf("waiting: %+v", s.queue)
	}
	s.landed() // it was not written
	s.post(update{kind: resuming, scope: "host:h", base: 2})
	if len(s.queue) != 1 || s.queue[0].base != 1 {
		t.Errorf("waiting afterwards: %+v", s.queue)
	}
}
