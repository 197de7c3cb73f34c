package worker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// seen counts the replies that a core subscriber gets, by message.
func (r *rig) seen(subject string) func(id string) int {
	r.Helper()
	var mu sync.Mutex
	counts := map[string]int{}
	_, err := r.js.Conn().Subscribe(subject, func(msg *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		counts[msg.Header.Get(contract.HeaderMessageID)]++
	})
	if err != nil {
		r.Fatal(err)
	}
	return func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[id]
	}
}

func (r *rig) reshape(stream string, change func(*jetstream.StreamConfig)) {
	r.Helper()
	s, err := r.js.Stream(r.Context(), stream)
	if err != nil {
		r.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	change(&cfg)
	if _, err := r.js.UpdateStream(r.Context(), cfg); err != nil {
		r.Fatal(err)
	}
}

// lossesOfReplies are ways in which replies cannot be stored, and how each ends.
var lossesOfReplies = map[string]struct{ lose, mend func(r *rig) }{
	"full": {
		func(r *rig) {
			r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
			if _, err := r.js.Publish(r.Context(), "redox.reply.other.x", nil); err != nil {
				r.Fatal(err)
			}
		},
		func(r *rig) { r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 }) },
	},
	"full of bytes": {
		func(r *rig) {
			r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxBytes = 10_000 })
			if _, err := r.js.Publish(r.Context(), "redox.reply.other.x", make([]byte, 9_900)); err != nil {
				r.Fatal(err)
			}
		},
		func(r *rig) {
			s, err := r.js.Stream(r.Context(), "REDOX_REPLIES")
			if err != nil {
				r.Fatal(err)
			}
			if err := s.Purge(r.Context(), jetstream.WithPurgeSubject("redox.reply.other.x")); err != nil {
				r.Fatal(err)
			}
		},
	},
	"takes no message of that size": {
		func(r *rig) { r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 }) },
		func(r *rig) { r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }) },
	},
	"deleted": {
		func(r *rig) {
			if err := r.js.DeleteStream(r.Context(), "REDOX_REPLIES"); err != nil {
				r.Fatal(err)
			}
		},
		func(r *rig) { r.provision() },
	},
}

// While replies cannot be stored, nobody who listens sees one twenty times, what needs no
// such reply goes on, and afterwards each is stored once.
func TestReplies_WithoutTheirStream(t *testing.T) {
	for name, c := range lossesOfReplies {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				seen := r.seen("redox.reply." + source + ".>")
				c.lose(r)
				r.start(worker.Config{Concurrency: 4})
				var ids []string
				for i := range 12 {
					ids = append(ids, r.publish(outbox.Message{ReplyTo: "redox.reply." + source + "." + fmt.Sprint(i)}))
				}
				bubble.Sleep(10 * time.Second)
				plain := r.publish(outbox.Message{})
				r.awaitSettled(plain)
				bubble.Sleep(3 * time.Minute)
				for _, id := range ids {
					if n := seen(id); n > 5 {
						t.Errorf("a subscriber saw the reply %d times", n)
					}
				}
				sent := len(r.far.Calls())
				c.mend(r)
				for _, id := range ids {
					r.awaitSettled(id)
					if n := len(r.far.Of(id)); n != 1 {
						t.Errorf("sent %d times", n)
					}
					if n := seen(id); n > 6 {
						t.Errorf("a subscriber saw the reply %d times", n)
					}
				}
				if name != "takes no message of that size" && sent > 1+4 {
					t.Errorf("%d were sent although no reply could be stored", sent)
				}
				if n := r.stored("REDOX_REPLIES"); n < 12 || n > 13 {
					t.Errorf("%d replies are stored", n)
				}
			})
		})
	}
}

// A reply that the stream refuses for its size holds up those of its own source alone.
func TestReplies_OneThatIsTooLargeHoldsUpNoOtherSource(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4000 })
		r.far.Answer = func(_ context.Context, m outbox.Message, _ int) (outbox.Answer, error) {
			if m.Source == source {
				return outbox.Answer{Status: 200, Body: make([]byte, 5000)}, nil
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b"}}})
		large := r.publish(outbox.Message{ReplyTo: replyTo(0)})
		bubble.Sleep(5 * time.Second)
		for i := range 30 {
			id, start := r.publish(outbox.Message{Source: "clinic-b", ReplyTo: fmt.Sprint("redox.reply.clinic-b.", i)}), time.Now()
			r.awaitSettled(id)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("a reply of another source took %v", took)
			}
			bubble.Sleep(10 * time.Second)
		}
		if _, settled := r.settled(large); settled || r.stored("REDOX_REPLIES") != 30 {
			t.Errorf("settled %v, %d replies are stored", settled, r.stored("REDOX_REPLIES"))
		}
		r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 })
		r.awaitSettled(large)
		if n := len(r.far.Of(large)); n != 1 {
			t.Errorf("sent %d times", n)
		}
	})
}

// Once a stream takes larger messages, those that it had refused for their size are replied to soon,
// however many it had refused together.
func TestReplies_AreStoredSoonAfterTheLimitOfTheirSizeIsRaised(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 4000 })
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 200, Body: make([]byte, 5000)}, nil
		}
		w, _ := r.launch(worker.Config{})
		var ids []string
		for i := range 32 {
			ids = append(ids, r.publish(outbox.Message{ReplyTo: replyTo(i)}))
		}
		bubble.Sleep(30 * time.Second)
		if s := w.Status(); !strings.Contains(s.Unanswered[source], "REDOX_REPLIES") {
			t.Errorf("status does not say whose replies are refused: %+v", s.Unanswered)
		}
		r.reshape("REDOX_REPLIES", func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 })
		raised := time.Now()
		for _, id := range ids {
			r.awaitSettled(id)
		}
		if took := time.Since(raised); took > time.Minute {
			t.Errorf("they were replied to %v after the limit was raised", took)
		}
		if s := w.Status(); len(s.Unanswered) > 0 {
			t.Errorf("still unanswered: %v", s.Unanswered)
		}
	})
}
