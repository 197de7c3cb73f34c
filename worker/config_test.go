package worker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

func TestConfig_ZeroValueIsValidWithDefaults(t *testing.T) {
	t.Parallel()
	c := Config{}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Concurrency != 64 || c.AckWait != 30*time.Second || c.Retry.MaxAge != 24*time.Hour || c.ID == "" {
		t.Errorf("defaults %+v", c)
	}
	if again := c.WithDefaults(); again.ID != c.ID || again.Retry != c.Retry {
		t.Error("defaults change what has them")
	}
}

func TestConfig_EveryProblemIsReported(t *testing.T) {
	t.Parallel()
	c := Config{
		Prefix: "Red Ox", Sources: []Source{{Name: "A"}, {Name: "b"}, {Name: "b"}}, Concurrency: -1, PullBytes: -1,
		AckWait: time.Millisecond, DrainTimeout: -5, AttemptTimeout: -1, ReplyAllow: []string{"$JS.>"},
		Retry: Retry{Initial: time.Minute, Max: time.Second, MaxAge: -2, RequestMaxAge: -1, MaxAttempts: -1, PoisonAfter: -2},
	}
	err := c.WithDefaults().Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"Red Ox", `"A"`, "twice", "Concurrency", "PullBytes", "AckWait", "DrainTimeout",
		"AttemptTimeout", "$JS", "Retry.Max:", "Retry.MaxAge", "Retry.RequestMaxAge", "Retry.MaxAttempts", "Retry.PoisonAfter"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not mentioned in:\n%v", part, err)
		}
	}
	if _, err := New(nil, nil, Config{}); err == nil {
		t.Error("New without JetStream and Deliverer")
	}
}

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

func TestRetry_DelayTable(t *testing.T) {
	t.Parallel()
	r := Config{}.WithDefaults().Retry
	want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600}
	for i, seconds := range want {
		if got := r.Delay(i + 1); got != seconds*time.Second {
			t.Errorf("after %d attempts: %v, want %v", i+1, got, seconds*time.Second)
		}
	}
	if got := r.Delay(1 << 30); got != r.Max {
		t.Errorf("after very many attempts: %v, want the cap %v", got, r.Max)
	}
}
