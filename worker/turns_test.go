package worker

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/servertime"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// A message that was woken while it came by itself is in the hands of two workers. Whichever begins
// first, the other leaves it alone, be its delivery the earlier or the later one.
func TestHeads_TheOtherOfTwoDeliveriesIsLeftAlone(t *testing.T) {
	w := &Worker{config: Config{}.WithDefaults(), clock: servertime.New(nil)}
	for _, delivered := range []uint64{2, 3} {
		d := &delivery{message: outbox.Message{Lane: contract.LaneOrdered}, delivered: delivered, record: ledger.Record{Ended: 1, Started: 1, Begun: w.clock.Now()}}
		if w.elsewhere(d) <= 0 {
			t.Errorf("delivery %d is sent beside the other, which has just begun", delivered)
		}
		d.record.Begun = d.record.Begun.Add(100 * time.Millisecond)
		if left := w.elsewhere(d); left != w.config.AckWait {
			t.Errorf("delivery %d is left alone for %v: the other has just begun, by another clock", delivered, left)
		}
		d.record.Begun = d.record.Begun.Add(-w.config.AckWait)
		if left := w.elsewhere(d); left > 0 {
			t.Errorf("delivery %d is left alone for %v, and the other never came back", delivered, left)
		}
		d.record = ledger.Record{Ended: 1, Begun: time.Now()}
		if left := w.elsewhere(d); left > 0 {
			t.Errorf("delivery %d is left alone for %v, and no other began", delivered, left)
		}
	}
}
