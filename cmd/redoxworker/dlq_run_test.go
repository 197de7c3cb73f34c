package main

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// A bar is drawn only when it takes a while.
func TestDeadBar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := newDeadBar(&out, 100)
		for range 50 {
			b.step()
			time.Sleep(progressAfter / 60)
		}
		if out.Len() > 0 {
			t.Errorf("drawn at once: %q", out.String())
		}
		for range 49 {
			b.step()
			time.Sleep(progressAfter / 4)
		}
		if !strings.Contains(out.String(), "99/100") {
			t.Errorf("%q", out.String())
		}
		b.clear()
		(*deadBar)(nil).step()
		(*deadBar)(nil).clear()
	})
}

func handled(err error, outcomes ...outbox.Outcome) iter.Seq2[outbox.Handled, error] {
	return func(yield func(outbox.Handled, error) bool) {
		for _, o := range outcomes {
			if !yield(outbox.Handled{MessageID: "m\x1b[2J", Outcome: o, DeadlineDropped: o == outbox.Replayed}, nil) {
				return
			}
		}
		if err != nil {
			yield(outbox.Handled{}, err)
		}
	}
}

func TestDeadRun_Result(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		run     iter.Seq2[outbox.Handled, error]
		total   int
		missing int
		summary string
		err     string
	}{
		"all":      {handled(nil, outbox.Replayed, outbox.AlreadyReplayed, outbox.Gone), 3, 0, "1 replayed, 1 already replayed, 1 gone; 1 message without the deadline that has passed", ""},
		"none":     {handled(nil), 0, 0, "no dead letters", ""},
		"refused":  {handled(nil, outbox.Discarded, outbox.Refused), 2, 0, "1 discarded, 1 refused", "reported"},
		"missing":  {handled(nil, outbox.Discarded), 1, 1, "1 discarded", "reported"},
		"stopped":  {handled(errors.New("queue full"), outbox.Discarded), 3, 0, "1 discarded", "queue full; 2 dead letters left: run the same command again to go on"},
		"canary":   {handled(canaryf("failed"), outbox.Discarded), 3, 0, "1 discarded", "canary: failed"},
		"the last": {handled(errors.New("queue full"), outbox.Discarded), 1, 0, "1 discarded", "queue full"},
	} {
		var out, errs bytes.Buffer
		r := newDeadRun(&app{stdout: &out, stderr: &errs}, tt.total, false, "sent again")
		err := r.result(t.Context(), r.each(tt.run, nothing), tt.missing)
		if got := strings.TrimSpace(errs.String()); got != tt.summary {
			t.Errorf("%s: summary %q, want %q", name, got, tt.summary)
		}
		if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%s: error %v, want %q", name, err, tt.err)
		}
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: a message id reaches the terminal as it is: %q", name, out.String())
		}
	}
}
