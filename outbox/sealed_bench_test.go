package outbox

import (
	"bytes"
	"fmt"
	"testing"
)

// What sealing and opening one message costs.
func BenchmarkSeal(b *testing.B) {
	ring, _ := newRing()
	for _, n := range []int{1 << 10, 20 << 10, 10 << 20} {
		m := Message{ID: "visit-1", Source: "clinic-a", Body: bytes.Repeat([]byte("x"), n)}
		sealed, err := m.Seal(ring, "")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("seal/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Seal(ring, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("open/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := sealed.Open(ring, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
