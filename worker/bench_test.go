package worker

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

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
