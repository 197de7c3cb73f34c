package operate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// One message in each of the states that there are, and one that nobody knows.
func TestFind_EachState(t *testing.T) {
	inBubble(t, func(r *rig) {
		no := errors.New("no")
		for id, err := range map[string]error{"hangs": errHang, "fails": worker.RetryAfter(no, time.Hour), "head": worker.RetryAfter(no, time.Hour),
			"held": worker.Held(no), "refused": worker.Permanent(no), "again": worker.Permanent(no), "thrown": worker.Permanent(no)} {
			r.answer(id, err)
		}
		r.start()
		r.publish(outbox.Message{ID: "answered", ReplyTo: "redox.reply.clinic-a.answered"})
		r.publish(outbox.Message{ID: "head", OrderKey: "k"})
		r.publish(outbox.Message{ID: "behind", OrderKey: "k"})
		for _, id := range []string{"hangs", "fails", "held", "refused", "again", "thrown"} {
			r.publish(outbox.Message{ID: id})
		}
		bubble.Sleep(10 * time.Second)
		r.answer("again:r1", nil)
		for _, err := range r.desk.Replay(r.Context(), r.choose("again"), operate.ReplayOptions{Canary: 1, Reason: "mended"}) {
			r.must(err)
		}
		for _, err := range r.desk.Discard(r.Context(), r.choose("thrown"), dlq.DiscardOptions{}, "a test message") {
			r.must(err)
		}
		for id, want := range map[string]operate.State{"answered": operate.Replied, "head": operate.Waiting, "behind": operate.BehindHead, "hangs": operate.InFlight,
			"fails": operate.Waiting, "held": operate.Held, "refused": operate.DeadLettered, "again": operate.Replayed, "thrown": operate.Discarded} {
			if p := r.find(id); p.State != want || p.Source != source {
				t.Errorf("%s: %+v, want %s", id, p, want)
			}
		}
		if p := r.find("behind"); p.Behind != "head" {
			t.Errorf("it is behind %q", p.Behind)
		}
		if p := r.find("fails"); p.Attempts != 1 || time.Until(p.Next) < 5*time.Minute {
			t.Errorf("%+v", p)
		}
		if p := r.find("answered"); p.Reply != "redox.reply.clinic-a.…" {
			t.Errorf("%+v", p)
		}
		if p := r.find("again"); p.Now != "again:r1" || !strings.Contains(p.Timeline[len(p.Timeline)-1].What, "replay by ann@ops: mended") {
			t.Errorf("%+v", p)
		}

		r.must(r.desk.PauseDestination(r.Context(), source, "big", 0, "it moves"))
		if p := r.find("fails"); !strings.HasSuffix(p.Why, "; dest:clinic-a:big is paused by ann@ops: it moves") {
			t.Errorf("%+v", p)
		}
		r.must(r.desk.Pause(r.Context(), source, 0, "their IT asked"))
		bubble.Sleep(2 * time.Second)
		r.publish(outbox.Message{ID: "paused"})
		bubble.Sleep(2 * time.Second)
		if p := r.find("paused"); p.State != operate.PausedState || !strings.Contains(p.Why, "by ann@ops: their IT asked") {
			t.Errorf("%+v", p)
		}
		r.end()
		r.stop()
		_, err := r.desk.Resume(r.Context(), source, "")
		r.must(err)
		r.publish(outbox.Message{ID: "queued"})
		if p := r.find("queued"); p.State != operate.Queued {
			t.Errorf("%+v", p)
		}
		if f, err := operate.Find(r.Context(), r.js, "", "nobody", operate.FindOptions{}); err != nil || len(f.Places) != 0 {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// The reply of another message, whose id makes the same subject, is not taken for one's own and keeps
// nobody from looking on.
func TestFind_AReplyOfAnother(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.start()
		r.publish(outbox.Message{ID: "ab", ReplyTo: "redox.reply.clinic-a.ab"})
		r.publish(outbox.Message{ID: "a.b", ReplyTo: "redox.reply.clinic-a.other"})
		bubble.Sleep(5 * time.Second)
		f, err := operate.Find(r.Context(), r.js, "", "a.b", operate.FindOptions{Source: source})
		if err != nil || len(f.Places) != 1 || f.Places[0].State != operate.Replied || f.Places[0].Now != "a.b" {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// What was not looked at is said; with the time in an id there is little to look at.
func TestFind_IsBoundedAndSaysSo(t *testing.T) {
	inBubble(t, func(r *rig) {
		for range 300 {
			r.publish(outbox.Message{})
		}
		bubble.Sleep(time.Hour)
		late := outbox.NewID()
		r.publish(outbox.Message{ID: late})
		r.publish(outbox.Message{ID: "plain"})
		before := r.js.Conn().Stats().OutMsgs
		f, err := operate.Find(r.Context(), r.js, "", late, operate.FindOptions{Scan: 10})
		r.must(err)
		if n := r.js.Conn().Stats().OutMsgs - before; len(f.Places) != 1 || f.Places[0].State != operate.Queued || n > 60 {
			t.Errorf("%+v after %d requests", f, n)
		}
		f, err = operate.Find(r.Context(), r.js, "", "plain", operate.FindOptions{Scan: 10, Source: source})
		r.must(err)
		if len(f.Places) != 0 || len(f.Unlearned) != 1 || !strings.Contains(f.Unlearned[0], "the work queue: not looked at: what was stored after the first 10") {
			t.Errorf("%+v", f)
		}
		if f, err = operate.Find(r.Context(), r.js, "", "plain", operate.FindOptions{Scan: -1, Source: source}); err != nil || len(f.Places) != 1 {
			t.Errorf("%+v, %v", f, err)
		}
		r.must(r.js.DeleteStream(r.Context(), "REDOX_REPLIES"))
		if f, err = operate.Find(r.Context(), r.js, "", late, operate.FindOptions{}); err != nil || len(f.Places) != 1 || len(f.Unlearned) != 1 || f.Unlearned[0] != "the replies: the stream does not exist: run `redoxworker provision`" {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

// Among many dead letters one is found without reading them where its id tells where it is, or when; and
// what was not looked at is said.
func TestFind_OneDeadLetterAmongMany(t *testing.T) {
	inBubble(t, func(r *rig) {
		const many = 3000
		letter := func(id string, sequence uint64) {
			l := dlq.Letter{MessageID: id, Source: source, Settlement: outbox.Rejected, At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: sequence, Worker: "w"}
			_, err := r.js.PublishMsgAsync(l.Encode(""))
			r.must(err)
		}
		for i := range many / 2 {
			letter(fmt.Sprint("m-", i), uint64(i+1))
		}
		bubble.Sleep(time.Hour)
		when := outbox.NewID()
		letter(when, many+1)
		for i := many / 2; i < many; i++ {
			letter(fmt.Sprint("REDOX_OUT:", i), uint64(i))
		}
		<-r.js.PublishAsyncComplete()
		for _, c := range []struct {
			id   string
			scan int
			most uint64
			says string
		}{{"REDOX_OUT:2900", 0, 50, ""}, {when, 0, 700, "whether another message has this id: not looked at: what came after dead letter 1501; --scan -1 looks at all"},
			{when, -1, many, ""}, {"m-7", 0, 700, "whether another message has this id: not looked at: what came after dead letter 8; --scan -1 looks at all"}} {
			before := r.js.Conn().Stats().InMsgs
			f, err := operate.Find(r.Context(), r.js, "", c.id, operate.FindOptions{Scan: c.scan, Source: source})
			r.must(err)
			if n := r.js.Conn().Stats().InMsgs - before; len(f.Places) != 1 || f.Places[0].State != operate.DeadLettered || n > c.most || strings.Join(f.Unlearned, "") != c.says {
				t.Errorf("%s: %+v after %d messages", c.id, f, n)
			}
		}
	})
}
