package outbox

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

// A body that cannot be read for now is told, and its reply is neither done nor overtaken.
func TestReplies_WaitForABody(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	r.Must(r.JS.DeleteStream(r.Ctx(), "OBJ_REDOX_BODIES"))
	for _, reply := range []Reply{{MessageID: "claim", Settlement: Delivered, BodyObject: "clinic-a/x"}, {MessageID: "last", Settlement: Delivered}} {
		_, err := r.JS.PublishMsg(r.Ctx(), reply.Encode("redox.reply.clinic-a."+reply.MessageID))
		r.Must(err)
	}
	var seen []string
	for reply, err := range r.replies(t, RepliesConfig{}).All(t.Context()) {
		if err != nil {
			if reply != nil || !errors.Is(err, ErrNoStream) || !strings.Contains(err.Error(), "message claim") {
				t.Errorf("%v %v", reply, err)
			}
			if len(seen) == 0 {
				seen = append(seen, "told")
				r.Provision(streams.Set{Names: contract.Prefix("")})
				r.Must(NewBodies(r.JS, "").Put(r.Ctx(), "clinic-a/x", []byte(`"large"`)))
			}
			continue
		}
		if seen = append(seen, reply.MessageID+string(reply.Body)); reply.MessageID == "last" {
			break
		}
	}
	if got := strings.Join(seen, " "); got != `told claim"large" last` {
		t.Error(got)
	}
}

// A consumer that refuses again and again is told, and read again when it does not.
func TestReplies_TellOfAConsumerThatRefuses(t *testing.T) {
	t.Parallel()
	r := withReplies(t)
	replies := r.replies(t, RepliesConfig{})
	r.Must(replies.Provision(r.Ctx()))
	r.store("clinic-a", "a-1")
	expires := func(most time.Duration) {
		c, err := r.JS.Consumer(r.Ctx(), "REDOX_REPLIES", "clinic-a-replies")
		r.Must(err)
		cfg := c.CachedInfo().Config
		cfg.MaxRequestExpires = most
		_, err = r.JS.UpdateConsumer(r.Ctx(), "REDOX_REPLIES", cfg)
		r.Must(err)
	}
	expires(time.Second)
	told := false
	for reply, err := range replies.All(t.Context()) {
		if err == nil {
			if reply.MessageID != "a-1" || !told {
				t.Errorf("%+v, told %v", reply, told)
			}
			break
		}
		if reply != nil || !strings.Contains(err.Error(), "MaxRequestExpires") {
			t.Errorf("%v %v", reply, err)
		}
		told = true
		expires(0)
	}
}

// Whoever may not change the consumer reads through it as it is, unless it breaks the order that it
// promises.
func TestReplies_ThatMayNotChangeTheirConsumer(t *testing.T) {
	t.Parallel()
	r := rig{outboxtest.Configured(t, `jetstream {}
authorization { users: [
	{user: all, password: p}
	{user: some, password: p, permissions: {publish: {deny: "$JS.API.CONSUMER.CREATE.>"}}}
]}`, nats.UserInfo("all", "p"))}
	r.Provision(streams.Set{Names: contract.Prefix("")})
	reader := r
	reader.JS = r.Connect(nats.UserInfo("some", "p"))
	r.Must(r.replies(t, RepliesConfig{Name: "one"}).Provision(r.Ctx()))
	r.Must(r.replies(t, RepliesConfig{Name: "five", InFlight: 5}).Provision(r.Ctx()))
	r.store("clinic-a", "a-1", "a-2")
	if got := take(t, reader.replies(t, RepliesConfig{Name: "one", InFlight: 3, AckWait: time.Second}), 1); len(got) != 1 {
		t.Errorf("took %v", got)
	}
	for reply, err := range reader.replies(t, RepliesConfig{Name: "five"}).All(t.Context()) {
		if reply != nil || !errors.Is(err, ErrPermission) {
			t.Errorf("through one that hands out more at once: %v %v", reply, err)
		}
		break
	}
}

// progress is a reply that counts the signs of life of its handler.
type progress struct {
	jetstream.Msg
	marks *atomic.Int32
}

func (p progress) InProgress() error { p.marks.Add(1); return nil }

// Another process may make the time shorter after which a reply is given to somebody else.
func TestReplies_SignsOfLifeAreFrequent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for lease, want := range map[time.Duration]int32{time.Minute: 10, 1500 * time.Millisecond: 20} {
			marks := new(atomic.Int32)
			stop := keep(progress{marks: marks}, lease)
			<-time.After(10*time.Second + time.Millisecond)
			if stop(); marks.Load() != want {
				t.Errorf("%d in ten seconds of a lease of %v, want %d", marks.Load(), lease, want)
			}
		}
	})
}
