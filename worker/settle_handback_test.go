package worker_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// unsureLedger stores the first entry of the ledger without saying so, and not the next.
type unsureLedger struct {
	jetstream.JetStream
	writes atomic.Int64
}

func (u *unsureLedger) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if strings.HasPrefix(subject, "$KV.REDOX_LEDGER.") {
		switch u.writes.Add(1) {
		case 1:
			if _, err := u.JetStream.Publish(ctx, subject, data, opts...); err != nil {
				return nil, err
			}
			return nil, nats.ErrTimeout
		case 2:
			return nil, nats.ErrTimeout
		}
	}
	return u.JetStream.Publish(ctx, subject, data, opts...)
}

// An intent of which the worker does not know that it was noted is taken back as one that was.
func TestGuarantee_HoldSendsWhatWasNeverSent(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.js = &unsureLedger{JetStream: r.js}
		r.start(worker.Config{Sources: holding})
		if e := r.awaitSettled(r.publish(outbox.Message{})); e.Settlement != outbox.Delivered {
			t.Errorf("settled %s: %s", e.Settlement, e.Error)
		}
	})
}
