package worker_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// What is known of an attempt under hold is noted before the message is given back: without
// that, an intent would be left, and the message settled held.
func TestGuarantee_HoldNotesWhatIsKnownWhenTheLedgerIsBack(t *testing.T) {
	inBubble(t, func(r *rig) {
		ledger, err := r.js.Stream(r.Context(), "KV_REDOX_LEDGER")
		if err != nil {
			t.Fatal(err)
		}
		cfg := ledger.CachedInfo().Config
		full := func(is bool) {
			if cfg.MaxBytes = -1; is {
				cfg.MaxBytes = 1
			}
			if _, err := r.js.UpdateStream(r.Context(), cfg); err != nil {
				t.Error(err)
			}
		}
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				full(true)
				time.AfterFunc(5*time.Second, func() { full(false) })
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		r.start(worker.Config{Sources: holding})
		id := r.publish(outbox.Message{})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || e.Attempt != 2 {
			t.Errorf("settled %s after %d attempts", e.Settlement, e.Attempt)
		}
	})
}
