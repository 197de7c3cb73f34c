package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// records counts what the ledger holds of messages.
func (r *rig) records() (n int) {
	r.Helper()
	kv, err := r.js.KeyValue(r.Context(), "REDOX_LEDGER")
	if err != nil {
		r.Fatal(err)
	}
	keys, err := kv.ListKeys(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	for key := range keys.Keys() {
		if strings.Contains(key, ".") {
			n++
		}
	}
	return n
}

// longAway is longer than any message is tried for.
const longAway = 72 * time.Hour

// What the ledger knows of a message is there when a worker is, however late.
func TestLedger_AttemptsOutliveAPause(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, _ outbox.Message, n int) (outbox.Answer, error) {
			if n == 2 {
				return outbox.Answer{}, worker.UnknownOutcome(errFar)
			}
			return outbox.Answer{Status: 400}, errFar
		}
		plain := worker.Config{Sources: unpaused, Retry: worker.Retry{MaxAttempts: 3}}
		stop := r.start(plain)
		id := r.publish(outbox.Message{})
		r.until("two attempts", func() bool { return len(r.all(worker.EventRetry)) == 2 })
		stop()
		bubble.Sleep(longAway)
		r.start(plain)
		if e := r.awaitSettled(id); e.Settlement != outbox.Exhausted || e.Attempt != 3 || !e.PossibleDuplicate {
			t.Errorf("settled %s after %d attempts, possible duplicate: %t; want exhausted after 3", e.Settlement, e.Attempt, e.PossibleDuplicate)
		}
	})
}

// The word of a settlement too: a worker that died before the ack leaves nothing to send.
func TestLedger_WordOfASettlementOutlivesAPause(t *testing.T) {
	inBubble(t, func(r *rig) {
		var word *nats.Msg // as the ledger has it before the ack
		sub, err := r.js.Conn().Subscribe("$KV.REDOX_LEDGER.>", func(msg *nats.Msg) {
			if word == nil && bytes.Contains(msg.Data, []byte(`"settled":"delivered"`)) {
				word = msg
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := r.start(worker.Config{Sources: holding})
		r.awaitSettled(r.publish(outbox.Message{}))
		stop()
		if err := sub.Unsubscribe(); err != nil || word == nil {
			t.Fatalf("no word was left: %v", err)
		}
		id := r.publish(outbox.Message{})
		r.lose()
		var rec map[string]any
		if err := json.Unmarshal(word.Data, &rec); err != nil {
			t.Fatal(err)
		}
		delete(rec, "stored") // it is that of the first
		data, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.js.PublishMsg(r.Context(), &nats.Msg{Header: word.Header, Data: data,
			Subject: "$KV.REDOX_LEDGER." + source + "." + contract.Prefix("").DeadToken(id, 2)}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(longAway)
		r.start(worker.Config{Sources: holding})
		if e := r.awaitSettled(id); e.Settlement != outbox.Delivered || len(r.far.Of(id)) != 0 {
			t.Errorf("settled %s after %d calls, want delivered, unsent", e.Settlement, len(r.far.Of(id)))
		}
	})
}

// What is settled and acknowledged is not kept as long: the ledger does not grow with all
// that was ever tried twice.
func TestLedger_ForgetsWhatIsAcknowledged(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = func(_ context.Context, m outbox.Message, n int) (outbox.Answer, error) {
			if n == 1 {
				return outbox.Answer{Status: 503}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		stop := r.start(worker.Config{Sources: []worker.Source{{Name: source}, {Name: "clinic-b", Hold: func(outbox.Message) bool { return true }}}})
		r.awaitSettled(r.publish(outbox.Message{}))
		r.awaitSettled(r.publish(outbox.Message{Source: "clinic-b"}))
		stop()
		if n := r.records(); n != 2 {
			t.Errorf("%d records after the settlements, want 2", n)
		}
		bubble.Sleep(25 * time.Hour)
		if n := r.records(); n != 0 {
			t.Errorf("%d records are left", n)
		}
	})
}
