package worker

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

func BenchmarkKeeper(b *testing.B) {
	server, err := natsdev.Start(natsdev.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Shutdown() })
	conn, err := server.Connect()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	k := newKeeper(conn, 30*time.Second, newRestarts(conn, 30*time.Second))
	for i := range uint64(1000) { // what is in flight besides
		k.hold(&lease{leaseKey: leaseKey{sequence: i + 1}, subject: "ack", cancel: func(error) {}}, time.Now(), false)
	}
	b.ReportAllocs()
	for b.Loop() {
		l := &lease{leaseKey: leaseKey{sequence: 1_000_000}, subject: "ack", cancel: func(error) {}}
		k.hold(l, time.Now(), false)
		k.bound(l, time.Now(), time.Now().Add(time.Minute))
		if !k.holds(l) || !k.release(l) {
			b.Fatal("lost")
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
