package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// waits are how long messages of others than the troublemaker were not sent, sorted.
func (r *rig) waits(published map[string]time.Time) (list []time.Duration) {
	r.Helper()
	for id, at := range published {
		calls := r.far.Of(id)
		if len(calls) == 0 {
			r.Fatalf("%s was not sent", id)
		}
		list = append(list, calls[0].Start.Sub(at))
	}
	slices.Sort(list)
	return list
}

// One of many sources has a thousand messages that are not answered, and nobody else waits
// for a slot, of either class.
func TestRun_ASourceThatHangsIsNotFelt(t *testing.T) {
	for _, n := range []int{2, 40} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var names []string
			var sources []worker.Source
			for i := range n {
				names = append(names, fmt.Sprint("s", i))
				sources = append(sources, worker.Source{Name: names[i]})
			}
			inBubble(t, func(r *rig) {
				r.far.Answer = func(ctx context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
					if m.Source == "s0" && m.Lane != contract.LaneRequest {
						select {
						case <-time.After(150 * time.Second):
						case <-ctx.Done():
						}
						return outbox.Answer{}, worker.UnknownOutcome(errFar)
					}
					bubble.Sleep(20 * time.Millisecond)
					return outbox.Answer{Status: 200}, nil
				}
				r.start(worker.Config{Sources: sources, BreakerAfter: -1})
				for i := range 1000 {
					r.publish(outbox.Message{ID: fmt.Sprint("hang", i), Source: "s0"})
				}
				bubble.Sleep(3 * time.Second)
				at := map[string]time.Time{}
				for i, name := range names {
					for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
						if i == 0 && lane == contract.LaneSend {
							continue
						}
						id := fmt.Sprint(name, lane)
						at[id] = time.Now()
						r.publish(outbox.Message{ID: id, Source: name, Lane: lane, ReplyTo: "redox.reply." + name + ".x"})
					}
				}
				bubble.Sleep(3 * time.Second)
				if took := r.waits(at); took[len(took)-1] > 0 {
					t.Errorf("%d sources: the others wait %v, %v at most", n, took[len(took)/2], took[len(took)-1])
				}
			})
		})
	}
}

// One source's messages are all answered 500, and another has its throughput.
func TestRun_ASourcesOwnFailuresNarrowNobodyElse(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			bubble.Sleep(100 * time.Millisecond)
			if m.Source == "clinic-b" {
				return outbox.Answer{Status: 500}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		w, _ := r.launch(worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		at := map[string]time.Time{}
		for i := range 50 {
			for k := range 30 {
				id := fmt.Sprintf("a%d-%d", i, k)
				at[id] = time.Now()
				r.publish(outbox.Message{ID: id})
			}
			for range 5 {
				r.publish(outbox.Message{Source: "clinic-b"})
			}
			bubble.Sleep(100 * time.Millisecond)
		}
		bubble.Sleep(time.Second)
		if took := r.waits(at); took[len(took)*99/100] > 10*time.Millisecond {
			t.Errorf("another source's messages wait %v, p99 %v", took[len(took)/2], took[len(took)*99/100])
		}
		if s := w.Status(); s.Concurrency != 64 || s.Narrowed[source] != 0 || s.Narrowed["clinic-b"] == 0 {
			t.Errorf("the limit over all is %d, those of sources %v", s.Concurrency, s.Narrowed)
		}
	})
}

// What of one source cannot be settled keeps no other source's from stepping aside, however
// much it is.
func TestRun_UnconfirmedSettlementsOfOneSourceAreItsOwn(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 200}, nil
		}
		mended := make(chan struct{})
		keep := func(_ context.Context, e audit.Entry) error {
			select {
			case <-mended:
			default:
				if e.Source == source || strings.HasPrefix(e.Message, "stuck") {
					return errors.New("no room")
				}
			}
			return nil
		}
		r.start(worker.Config{Concurrency: 8, Audit: keep, Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		var all []string
		for range 100 {
			all = append(all, r.publish(outbox.Message{}))
		}
		bubble.Sleep(time.Minute)
		for i := range 4 {
			all = append(all, r.publish(outbox.Message{ID: fmt.Sprint("stuck", i), Source: "clinic-b"}))
		}
		bubble.Sleep(10 * time.Second)
		plain := r.publish(outbox.Message{ID: "plain", Source: "clinic-b"})
		bubble.Sleep(time.Second)
		if _, ok := r.settled(plain); !ok {
			t.Error("a message waits for settlements of others")
		}
		if n := len(r.far.Calls()); n > 8+4+4+4+5 {
			t.Errorf("%d were sent and could not be settled", n)
		}
		close(mended)
		for _, id := range all {
			r.awaitSettled(id)
		}
	})
}
