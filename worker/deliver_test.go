package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
)

var errFar = errors.New("far side: patient Timothy Bixby is in this text")

// unpaused has no host: its pause would postpone attempts, and excuse them.
var unpaused = []worker.Source{{Name: source}}

func TestDeliver_ReplyThenAck(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 200, ContentType: "application/json", Body: []byte(`{"Meta":{}}`), LogIDs: []string{"log-1"}}, nil
		}
		r.start(worker.Config{})
		inbox, replies := r.inbox()
		id := r.publish(outbox.Message{ReplyTo: inbox})
		durable := r.publish(outbox.Message{ReplyTo: "redox.reply.clinic-a.x"})
		r.awaitSettled(id)
		r.awaitSettled(durable)
		got := replies()
		if len(got) != 1 || got[0].MessageID != id || !got[0].OK() || string(got[0].Body) != `{"Meta":{}}` ||
			got[0].Attempts != 1 || got[0].Status != 200 || got[0].LogIDs[0] != "log-1" {
			t.Errorf("replies %+v", got)
		}
		if n := r.stored("REDOX_REPLIES"); n != 1 {
			t.Errorf("%d durable replies, want 1", n)
		}
		if n := r.stored("REDOX_OUT"); n != 0 {
			t.Errorf("%d messages left in the queue", n)
		}
		if n := r.stored("REDOX_DLQ"); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

func TestDeliver_FinalErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		lane contract.Lane
		want outbox.Settlement
		dead bool // although somebody is told
	}{
		{"rejected send", worker.Permanent(errFar), contract.LaneSend, outbox.Rejected, true},
		{"poison send", worker.Poison(errFar), contract.LaneSend, outbox.Poison, true},
		{"held send", worker.Held(errFar), contract.LaneSend, outbox.Held, true},
		{"rejected request", worker.Permanent(errFar), contract.LaneRequest, outbox.Rejected, false},
		{"poison request", worker.Poison(errFar), contract.LaneRequest, outbox.Poison, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
					return outbox.Answer{Status: 400}, worker.WithSafeText(tc.err, "refused: status 400")
				}
				r.start(worker.Config{ID: "w1"})
				inbox, replies := r.inbox()
				id := r.publish(outbox.Message{Lane: tc.lane, ReplyTo: inbox, Body: []byte(`{"a":1}`)})
				if e := r.awaitSettled(id); e.Settlement != tc.want || e.Attempt != 1 {
					t.Errorf("settled %s after %d attempts, want %s after 1", e.Settlement, e.Attempt, tc.want)
				}
				if got := replies(); len(got) != 1 || got[0].Settlement != tc.want || got[0].Error != "refused: status 400" || got[0].Status != 400 {
					t.Errorf("replies %+v", got)
				}
				letters := r.deadLetters()
				if (len(letters) == 1) != tc.dead {
					t.Fatalf("%d dead letters, want dead: %v", len(letters), tc.dead)
				}
				if !tc.dead {
					return
				}
				d := letters[0]
				if d.MessageID != id || d.Settlement != tc.want || d.Status != 400 || d.Attempts != 1 || d.Worker != "w1" ||
					string(d.Body) != `{"a":1}` || d.Source != source || d.Error != "refused: status 400" {
					t.Errorf("dead letter %+v", d)
				}
			})
		})
	}
}

func TestDeliver_UnknownErrorTextStaysInside(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{}, worker.Permanent(errFar)
		}
		r.start(worker.Config{})
		id := r.publish(outbox.Message{})
		r.awaitSettled(id)
		if got := r.deadLetters()[0].Error; got != "delivery failed" {
			t.Errorf("the dead letter says %q", got)
		}
	})
}

func TestDeliver_RetryScheduleAndGiveUp(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if m.ID == "third-time" && n == 3 {
				return outbox.Answer{Status: 200}, nil
			}
			return outbox.Answer{Status: 503}, errFar
		}
		r.start(worker.Config{Sources: unpaused, Retry: worker.Retry{MaxAttempts: 5}})
		r.publish(outbox.Message{ID: "third-time"})
		r.publish(outbox.Message{ID: "never"})
		if e := r.awaitSettled("third-time"); e.Settlement != outbox.Delivered || e.Attempt != 3 {
			t.Errorf("third-time: %s after %d attempts", e.Settlement, e.Attempt)
		}
		if e := r.awaitSettled("never"); e.Settlement != outbox.Exhausted || e.Attempt != 5 {
			t.Errorf("never: %s after %d attempts", e.Settlement, e.Attempt)
		}
		calls := r.far.Of("never")
		if len(calls) != 5 {
			t.Fatalf("%d calls", len(calls))
		}
		for i, bound := range []time.Duration{2, 4, 8, 16} {
			// Redelivery adds up to the server's timer resolution.
			if gap := calls[i+1].Start.Sub(calls[i].End); gap > bound*time.Second+time.Second {
				t.Errorf("attempt %d came %v after the one before, want at most %v", i+2, gap, bound*time.Second)
			}
		}
		if d := r.deadLetters(); len(d) != 1 || d[0].Attempts != 5 || d[0].Status != 503 {
			t.Errorf("dead letters %+v", d)
		}
	})
}

func TestDeliver_RetryAfterOnlyLengthensAndIsCapped(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			switch n {
			case 1:
				return outbox.Answer{Status: 429}, worker.RetryAfter(errFar, 40*time.Second)
			case 2:
				return outbox.Answer{Status: 429}, worker.RetryAfter(errFar, 24*time.Hour)
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Retry: worker.Retry{Max: 2 * time.Minute}})
		id := r.publish(outbox.Message{})
		r.awaitSettled(id)
		if got, want := seconds(r.far.Of(id)), "0 40 160 "; got != want {
			t.Errorf("attempts at %s, want %s", got, want)
		}
	})
}

func TestDeliver_MaxAgeAndDeadline(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 503}, errFar
		}
		r.start(worker.Config{Sources: unpaused, Retry: worker.Retry{MaxAge: 10 * time.Minute, RequestMaxAge: time.Minute}})
		start := time.Now()
		inbox, replies := r.inbox()
		old := r.publish(outbox.Message{})
		request := r.publish(outbox.Message{Lane: contract.LaneRequest, ReplyTo: inbox})
		deadline := r.publish(outbox.Message{Deadline: start.Add(30 * time.Second)})
		past := r.publish(outbox.Message{Deadline: start.Add(-time.Second), ReplyTo: inbox})
		for id, limit := range map[string]time.Duration{past: 0, deadline: 30 * time.Second, request: time.Minute, old: 10 * time.Minute} {
			e := r.awaitSettled(id)
			if e.Settlement != outbox.Expired {
				t.Errorf("%s: settled %s", id, e.Settlement)
			}
			if e.DeadLettered != (id != request) {
				t.Errorf("dead-lettered %v (a request whose caller was told %v)", e.DeadLettered, id == request)
			}
			if e.Duration > limit+time.Second || e.Duration < limit-3*time.Second {
				t.Errorf("settled after %v, want shortly before %v", e.Duration, limit)
			}
		}
		if n := len(r.far.Of(past)); n != 0 {
			t.Errorf("%d attempts after the deadline", n)
		}
		if n := len(replies()); n != 2 {
			t.Errorf("%d replies, want 2: expiry is answered", n)
		}
	})
}

func TestDeliver_PanicIsAnOrdinaryFailure(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				panic("Timothy Bixby")
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || e.Attempt != 2 {
			t.Errorf("settled %s after %d attempts", e.Settlement, e.Attempt)
		}
	})
}

// Who waits for a reply hears of it too when a message is given up.
func TestGuarantee_GivingUpAnswersTheCaller(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 503}, errFar
		}
		subject, replies := r.inbox()
		r.start(worker.Config{Sources: unpaused, Retry: worker.Retry{MaxAttempts: 3, RequestMaxAge: 10 * time.Minute}})
		want := map[string]outbox.Settlement{}
		for name, lane := range map[string]contract.Lane{"send": contract.LaneSend, "request": contract.LaneRequest} {
			want["exhausted-"+name] = outbox.Exhausted
			r.publish(outbox.Message{ID: "exhausted-" + name, Lane: lane, ReplyTo: subject})
			want["expired-"+name] = outbox.Expired
			r.publish(outbox.Message{ID: "expired-" + name, Lane: lane, ReplyTo: subject, Deadline: time.Now().Add(500 * time.Millisecond)})
		}
		for id := range want {
			r.awaitSettled(id)
		}
		got := map[string]outbox.Settlement{}
		r.until("all are answered", func() bool {
			for _, reply := range replies() {
				got[reply.MessageID] = reply.Settlement
				if reply.Error == "" || len(reply.Body) == 0 {
					t.Errorf("reply without a reason: %+v", reply)
				}
			}
			return len(got) == len(want)
		})
		for id, s := range want {
			if got[id] != s {
				t.Errorf("%s: the caller was told %q, want %s", id, got[id], s)
			}
		}
	})
}

// A message is given up in words that are right for one attempt too.
func TestDeliver_GivesUpAfterOneAttempt(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(context.Context, outbox.Message, int) (outbox.Answer, error) {
			return outbox.Answer{Status: 503}, errFar
		}
		r.start(worker.Config{Retry: worker.Retry{MaxAttempts: 1}})
		r.publish(outbox.Message{ID: "once"})
		if e := r.awaitSettled("once"); !strings.HasPrefix(e.Error, "gave up after 1 attempt; ") {
			t.Errorf("error %q", e.Error)
		}
	})
}

// A header that its sender took for one of the contract stops the message: passed over, it
// would have been sent years after its deadline, or out of order.
func TestRun_AHeaderThatIsNotOfTheContractIsPoison(t *testing.T) {
	inBubble(t, func(r *rig) {
		log := new(logged)
		r.start(worker.Config{Logger: slog.New(slog.NewTextHandler(log, nil))})
		for name, value := range map[string]string{
			"redox-deadline": "2020-01-01T00:00:00Z", "Redox-Dead-Line": "2020-01-01T00:00:00Z", contract.HeaderOrderKey: "MRN-4711",
			contract.HeaderOrderToken: strings.Repeat("4711", 8), contract.HeaderDeadline: "", "nats-msg-id": "4711",
		} {
			msg := &nats.Msg{Subject: "redox.out." + source + ".send", Data: []byte("{}"), Header: nats.Header{contract.HeaderMessageID: {"of-" + name}, name: {value}}}
			if _, err := r.js.PublishMsg(r.Context(), msg); err != nil {
				r.Fatal(err)
			}
			if e := r.awaitSettled("of-" + name); e.Settlement != outbox.Poison || !strings.Contains(e.Error, name) {
				r.Errorf("%s: settled %s: %s", name, e.Settlement, e.Error)
			}
		}
		if calls := r.far.Calls(); len(calls) != 0 {
			r.Errorf("%d were sent", len(calls))
		}
		for _, d := range r.deadLetters() {
			if d.MessageID == "of-redox-deadline" && d.Header["redox-deadline"] == nil {
				r.Errorf("the dead letter lost the header: %v", d.Header)
			}
		}
		if strings.Contains(log.String(), "4711") {
			r.Errorf("a value is in the log:\n%s", log)
		}
	})
}
