package worker

import (
	"errors"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

func TestJudge_Table(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := Config{}.WithDefaults().Retry
	cause := errors.New("cause")
	send := &outbox.Message{Lane: outbox.LaneSend, Stored: now}
	request := &outbox.Message{Lane: outbox.LaneRequest, Stored: now}
	doubtful := doubtfulError{cause}
	for name, tc := range map[string]struct {
		o    outcome
		want verdict
	}{
		"delivered":                             {outcome{message: send}, verdict{settlement: outbox.Delivered, counted: true}},
		"flagged":                               {outcome{message: request, answer: outbox.Answer{Flag: "flag"}}, verdict{settlement: outbox.Delivered, err: "flag", counted: true}},
		"temporary":                             {outcome{message: send, err: cause}, verdict{action: retry, delay: 2 * time.Second, jittered: true, err: genericFailure, counted: true}},
		"third":                                 {outcome{message: send, err: cause, record: ledger.Record{Attempts: 2}}, verdict{action: retry, delay: 8 * time.Second, jittered: true, err: genericFailure, counted: true}},
		"unknown, resend":                       {outcome{message: send, err: UnknownOutcome(cause)}, verdict{action: retry, delay: 2 * time.Second, jittered: true, err: genericFailure, unknown: true, counted: true}},
		"unknown, hold":                         {outcome{message: send, err: UnknownOutcome(cause), hold: true}, verdict{settlement: outbox.Held, err: genericFailure, unknown: true, counted: true}},
		"unknown request":                       {outcome{message: request, err: UnknownOutcome(cause), hold: true}, verdict{action: retry, delay: 2 * time.Second, jittered: true, err: genericFailure, counted: true}},
		"doubtful, resend":                      {outcome{message: send, err: doubtful}, verdict{action: retry, delay: 2 * time.Second, jittered: true, err: genericFailure, counted: true}},
		"doubtful, hold":                        {outcome{message: send, err: doubtful, hold: true}, verdict{settlement: outbox.Held, err: genericFailure, unknown: true, counted: true}},
		"lease lost":                            {outcome{message: send, err: UnknownOutcome(cause), cause: ErrLeaseLost}, verdict{action: abandon, err: genericFailure, unknown: true, counted: true}},
		"lease lost, held elsewhere":            {outcome{message: send, err: UnknownOutcome(cause), cause: ErrLeaseLost, hold: true}, verdict{action: abandon, err: genericFailure, unknown: true, counted: true}},
		"delivered although the lease was lost": {outcome{message: send, cause: ErrLeaseLost}, verdict{settlement: outbox.Delivered, counted: true}},
		"drained unsent":                        {outcome{message: send, err: NotAttempted(cause, "key:x"), cause: ErrDrainTimeout}, verdict{action: wait, err: genericFailure}},
		"drained, hold":                         {outcome{message: send, err: UnknownOutcome(cause), cause: ErrDrainTimeout, hold: true}, verdict{settlement: outbox.Held, err: genericFailure, unknown: true, counted: true}},
		"request deadline":                      {outcome{message: request, err: cause, cause: ErrDeadline}, verdict{settlement: outbox.Expired, err: genericFailure, counted: true}},
		"no token":                              {outcome{message: send, err: NotAttempted(cause, "key:x")}, verdict{action: wait, delay: 2 * time.Second, err: genericFailure, pauses: "key:x"}},
		"no token for a minute":                 {outcome{message: send, err: RetryAfter(NotAttempted(cause, "key:x"), time.Minute)}, verdict{action: wait, delay: 2 * time.Second, err: genericFailure, pauses: "key:x", pauseFor: time.Minute}},
		"not sent, without a pause":             {outcome{message: send, err: RetryAfter(NotAttempted(cause, ""), time.Minute)}, verdict{action: wait, delay: time.Minute, err: genericFailure, pauseFor: time.Minute}},
		"retry-after":                           {outcome{message: send, err: RetryAfter(cause, time.Minute)}, verdict{action: retry, delay: time.Minute, err: genericFailure, pauseFor: time.Minute, counted: true}},
		"guard on content":                      {outcome{message: send, err: NotAttempted(Permanent(cause), "")}, verdict{settlement: outbox.Rejected, err: genericFailure}},
		"held by deliverer":                     {outcome{message: send, err: Held(cause)}, verdict{settlement: outbox.Held, err: genericFailure, counted: true}},
	} {
		tc.o.now = now
		tc.want.answer = tc.o.answer
		got := judge(&tc.o, &r)
		if got.action != tc.want.action || got.settlement != tc.want.settlement || got.delay != tc.want.delay || got.jittered != tc.want.jittered ||
			got.err != tc.want.err || got.pauses != tc.want.pauses || got.pauseFor != tc.want.pauseFor || got.unknown != tc.want.unknown || got.counted != tc.want.counted {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
}

func BenchmarkVerdict(b *testing.B) {
	m := outbox.Message{ID: "id", Source: "clinic-a", Lane: outbox.LaneSend, Stored: time.Now()}
	retry := Config{}.WithDefaults().Retry
	b.ReportAllocs()
	for b.Loop() {
		if _, decided := precheck(&m, nil, &ledger.Record{}, false, time.Now(), &retry); decided {
			b.Fatal("decided")
		}
		if v := judge(&outcome{message: &m, answer: outbox.Answer{Status: 200}, now: time.Now()}, &retry); v.settlement != outbox.Delivered {
			b.Fatal(v)
		}
	}
}
