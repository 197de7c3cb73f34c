package lease

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
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
	k := NewKeeper(conn, 30*time.Second, NewRestarts(conn, 30*time.Second))
	for i := range uint64(1000) { // what is in flight besides
		k.Hold(&Lease{Key: Key{Sequence: i + 1}, Reply: "ack", Cancel: func(error) {}}, time.Now(), false)
	}
	b.ReportAllocs()
	for b.Loop() {
		l := &Lease{Key: Key{Sequence: 1_000_000}, Reply: "ack", Cancel: func(error) {}}
		k.Hold(l, time.Now(), false)
		k.Begin(l, time.Now(), time.Now().Add(time.Minute))
		if !k.Holds(l) || !k.Release(l) {
			b.Fatal("lost")
		}
	}
}
