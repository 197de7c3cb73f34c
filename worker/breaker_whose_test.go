package worker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// couple are two sources of one key and host.
var couple = []worker.Source{
	{Name: source, Scopes: []string{"key:main", "host:far", "group:default"}},
	{Name: "clinic-b", Scopes: []string{"key:main", "host:far", "group:default"}},
}

// A message that is always met by trouble is given up, also where nothing else shows that its host
// works.
func TestWhose_AMessageThatFailsAloneIsGivenUp(t *testing.T) {
	for name, tc := range map[string]struct {
		answer     func() (outbox.Answer, error)
		retry      worker.Retry
		settlement outbox.Settlement
	}{
		"503, by its age":      {badDays["503"], worker.Retry{MaxAge: 20 * time.Minute}, outbox.Expired},
		"503, by its attempts": {badDays["503"], worker.Retry{MaxAttempts: 8}, outbox.Exhausted},
		"no answer":            {badDays["no answer"], worker.Retry{MaxAge: 20 * time.Minute}, outbox.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) { return tc.answer() }
				r.start(worker.Config{Sources: scoped, Retry: tc.retry})
				start := time.Now()
				id := r.publish(outbox.Message{})
				for {
					if e, ok := r.settled(id); ok {
						if e.Settlement != tc.settlement {
							t.Errorf("settled %s after %d attempts", e.Settlement, e.Attempt)
						}
						break
					}
					if bubble.Sleep(time.Minute); time.Since(start) > 24*time.Hour {
						t.Fatal("never given up")
					}
				}
			})
		})
	}
}

// An outage that two sources meet pauses the host, and buries nothing.
func TestWhose_AnOutageOfTheHostBuriesNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			if time.Since(start) < 16*time.Minute {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		w, _ := r.launch(worker.Config{Sources: couple, Retry: worker.Retry{MaxAge: 6 * time.Minute, MaxAttempts: 6}})
		for i := range 20 {
			r.publish(outbox.Message{Source: couple[i%2].Name, ID: fmt.Sprint("m", i)})
		}
		bubble.Sleep(time.Minute)
		if s := w.Status(); s.Breakers["host:far"] == "closed" || len(s.Pauses) != 1 {
			t.Errorf("breakers %v, paused %+v", s.Breakers, s.Pauses)
		}
		bubble.Sleep(time.Until(start.Add(16 * time.Minute)))
		r.until("all settled", func() bool { return len(r.all(worker.EventSettled)) == 20 })
		for _, e := range r.all(worker.EventSettled) {
			if e.Settlement != outbox.Delivered {
				t.Errorf("%s: %s after %d attempts: %s", e.MessageID, e.Settlement, e.Attempt, e.Error)
			}
		}
		if s := w.Status(); s.Breakers["host:far"] != "closed" || len(s.Pauses) != 0 {
			t.Errorf("afterwards: breakers %v, paused %+v", s.Breakers, s.Pauses)
		}
	})
}

// One message whose source is refused by 401 comes to an end, and keeps no other source of its key
// waiting for long.
func TestWhose_ARefusedTokenOfOneSourceEnds(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == source {
				return harms["401"].answer(ctx)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: couple, Retry: worker.Retry{MaxAge: 15 * time.Minute}})
		id := r.publish(outbox.Message{})
		start := time.Now()
		for {
			if e, ok := r.settled(id); ok {
				if e.Settlement != outbox.Expired {
					t.Errorf("settled %s after %d attempts", e.Settlement, e.Attempt)
				}
				break
			}
			if bubble.Sleep(5 * time.Second); time.Since(start) > 12*time.Hour {
				t.Fatal("never given up")
			}
			r.publish(outbox.Message{Source: "clinic-b"})
		}
		for _, e := range r.all(worker.EventSettled) {
			if e.Source == "clinic-b" && e.Duration > 2*time.Second {
				t.Errorf("a message of another source of the key waited %v", e.Duration)
			}
		}
	})
}

// The same refusal again and again buries no more messages: they wait, and are delivered when
// somebody has seen to it.
func TestWhose_ARefusedSourceKeepsItsMessages(t *testing.T) {
	inBubble(t, func(r *rig) {
		start := time.Now()
		r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == source && time.Since(start) < 20*time.Minute {
				return harms["403"].answer(ctx)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: couple, BreakerAfter: 3, Concurrency: 1})
		for range 100 {
			r.publish(outbox.Message{})
		}
		bubble.Sleep(time.Until(start.Add(20 * time.Minute)))
		if n := len(r.deadLetters()); n != 2 {
			t.Errorf("%d dead letters, want those before the third refusal in a row", n)
		}
		refused := 0
		for _, e := range r.all(worker.EventPaused) {
			if e.Refused && e.Scope == "source:"+source && e.Probes == 0 {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d alarms, want one", refused)
		}
		r.until("all settled", func() bool { return r.stored("REDOX_OUT") == 0 })
		if n := len(r.deadLetters()); n != 2 {
			t.Errorf("%d dead letters in the end", n)
		}
	})
}

// A probe that hangs keeps the host closed for nobody else for longer than a moment.
func TestWhose_AHangingProbeHoldsNobodyElse(t *testing.T) {
	inBubble(t, func(r *rig) {
		down := true
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			switch {
			case down:
				return outbox.Answer{}, worker.NotAttempted(errFar, "host:far")
			case m.Source == source:
				bubble.Sleep(150 * time.Second)
				return outbox.Answer{}, worker.UnknownOutcome(errFar)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: couple})
		r.publish(outbox.Message{})
		r.until("the host is paused", func() bool { return len(r.all(worker.EventPaused)) == 1 })
		down = false
		before := len(r.far.Calls())
		r.until("a probe hangs", func() bool { return len(r.far.Calls()) > before })
		start := time.Now()
		for range 10 {
			if e := r.awaitSettled(r.publish(outbox.Message{Source: "clinic-b"})); e.Duration > 3*time.Second {
				t.Errorf("a message of another source waited %v for the probe", e.Duration)
			}
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
