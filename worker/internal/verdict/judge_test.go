package verdict_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

func TestJudge_Table(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := verdict.Rules(worker.Config{}.WithDefaults().Retry)
	cause := errors.New("cause")
	send := &outbox.Message{Lane: contract.LaneSend, Stored: now}
	request := &outbox.Message{Lane: contract.LaneRequest, Stored: now}
	doubtful := doubtfulError{cause}
	for name, tc := range map[string]struct {
		o    verdict.Outcome
		want verdict.Verdict
	}{
		"delivered":                             {verdict.Outcome{Message: send}, verdict.Verdict{Settlement: outbox.Delivered, Counted: true}},
		"flagged":                               {verdict.Outcome{Message: request, Answer: outbox.Answer{Flag: "flag"}}, verdict.Verdict{Settlement: outbox.Delivered, Text: "flag", Counted: true}},
		"temporary":                             {verdict.Outcome{Message: send, Err: cause}, verdict.Verdict{Action: verdict.Retry, Delay: 2 * time.Second, Jittered: true, Text: verdict.GenericText, Counted: true}},
		"third":                                 {verdict.Outcome{Message: send, Err: cause, Record: ledger.Record{Attempts: 2}}, verdict.Verdict{Action: verdict.Retry, Delay: 8 * time.Second, Jittered: true, Text: verdict.GenericText, Counted: true}},
		"unknown, resend":                       {verdict.Outcome{Message: send, Err: worker.UnknownOutcome(cause)}, verdict.Verdict{Action: verdict.Retry, Delay: 2 * time.Second, Jittered: true, Text: verdict.GenericText, Unknown: true, Counted: true}},
		"unknown, hold":                         {verdict.Outcome{Message: send, Err: worker.UnknownOutcome(cause), Hold: true}, verdict.Verdict{Settlement: outbox.Held, Text: verdict.GenericText, Unknown: true, Counted: true}},
		"unknown request":                       {verdict.Outcome{Message: request, Err: worker.UnknownOutcome(cause), Hold: true}, verdict.Verdict{Action: verdict.Retry, Delay: 2 * time.Second, Jittered: true, Text: verdict.GenericText, Counted: true}},
		"doubtful, resend":                      {verdict.Outcome{Message: send, Err: doubtful}, verdict.Verdict{Action: verdict.Retry, Delay: 2 * time.Second, Jittered: true, Text: verdict.GenericText, Counted: true}},
		"doubtful, hold":                        {verdict.Outcome{Message: send, Err: doubtful, Hold: true}, verdict.Verdict{Settlement: outbox.Held, Text: verdict.GenericText, Unknown: true, Counted: true}},
		"lease lost":                            {verdict.Outcome{Message: send, Err: worker.UnknownOutcome(cause), Cause: worker.ErrLeaseLost}, verdict.Verdict{Action: verdict.Abandon, Text: verdict.GenericText, Unknown: true, Counted: true}},
		"lease lost, held elsewhere":            {verdict.Outcome{Message: send, Err: worker.UnknownOutcome(cause), Cause: worker.ErrLeaseLost, Hold: true}, verdict.Verdict{Action: verdict.Abandon, Text: verdict.GenericText, Unknown: true, Counted: true}},
		"delivered although the lease was lost": {verdict.Outcome{Message: send, Cause: worker.ErrLeaseLost}, verdict.Verdict{Settlement: outbox.Delivered, Counted: true}},
		"drained unsent":                        {verdict.Outcome{Message: send, Err: worker.NotAttempted(cause, "key:x"), Cause: worker.ErrDrainTimeout}, verdict.Verdict{Action: verdict.Wait, Text: verdict.GenericText}},
		"drained, hold":                         {verdict.Outcome{Message: send, Err: worker.UnknownOutcome(cause), Cause: worker.ErrDrainTimeout, Hold: true}, verdict.Verdict{Settlement: outbox.Held, Text: verdict.GenericText, Unknown: true, Counted: true}},
		"request deadline":                      {verdict.Outcome{Message: request, Err: cause, Cause: worker.ErrDeadline}, verdict.Verdict{Settlement: outbox.Expired, Text: verdict.GenericText, Counted: true}},
		"no token":                              {verdict.Outcome{Message: send, Err: worker.NotAttempted(cause, "key:x")}, verdict.Verdict{Action: verdict.Wait, Delay: 2 * time.Second, Text: verdict.GenericText, Pauses: "key:x"}},
		"no token for a minute":                 {verdict.Outcome{Message: send, Err: worker.RetryAfter(worker.NotAttempted(cause, "key:x"), time.Minute)}, verdict.Verdict{Action: verdict.Wait, Delay: 2 * time.Second, Text: verdict.GenericText, Pauses: "key:x", PauseFor: time.Minute}},
		"not sent, without a pause":             {verdict.Outcome{Message: send, Err: worker.RetryAfter(worker.NotAttempted(cause, ""), time.Minute)}, verdict.Verdict{Action: verdict.Wait, Delay: time.Minute, Text: verdict.GenericText, PauseFor: time.Minute}},
		"retry-after":                           {verdict.Outcome{Message: send, Err: worker.RetryAfter(cause, time.Minute)}, verdict.Verdict{Action: verdict.Retry, Delay: time.Minute, Text: verdict.GenericText, PauseFor: time.Minute, Counted: true}},
		"guard on content":                      {verdict.Outcome{Message: send, Err: worker.NotAttempted(worker.Permanent(cause), "")}, verdict.Verdict{Settlement: outbox.Rejected, Text: verdict.GenericText}},
		"held by deliverer":                     {verdict.Outcome{Message: send, Err: worker.Held(cause)}, verdict.Verdict{Settlement: outbox.Held, Text: verdict.GenericText, Counted: true}},
	} {
		tc.o.Now = now
		tc.want.Answer = tc.o.Answer
		got := verdict.Judge(&tc.o, &r)
		if got.Action != tc.want.Action || got.Settlement != tc.want.Settlement || got.Delay != tc.want.Delay || got.Jittered != tc.want.Jittered ||
			got.Text != tc.want.Text || got.Pauses != tc.want.Pauses || got.PauseFor != tc.want.PauseFor || got.Unknown != tc.want.Unknown || got.Counted != tc.want.Counted {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
}

func BenchmarkVerdict(b *testing.B) {
	m := outbox.Message{ID: "id", Source: "clinic-a", Lane: contract.LaneSend, Stored: time.Now()}
	retry := verdict.Rules(worker.Config{}.WithDefaults().Retry)
	b.ReportAllocs()
	for b.Loop() {
		if _, decided := verdict.Precheck(&m, nil, &ledger.Record{}, false, time.Now(), &retry); decided {
			b.Fatal("decided")
		}
		if v := verdict.Judge(&verdict.Outcome{Message: &m, Answer: outbox.Answer{Status: 200}, Now: time.Now()}, &retry); v.Settlement != outbox.Delivered {
			b.Fatal(v)
		}
	}
}
