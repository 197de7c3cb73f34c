package limit

import (
	"fmt"
	"testing"
)

// A slot is taken and given back while so many sources have some.
func BenchmarkSlots(b *testing.B) {
	for _, busy := range []int{1, 300} {
		b.Run(fmt.Sprint(busy), func(b *testing.B) {
			s := NewSlots(2 * busy)
			names := make([]string, busy)
			for i := range names {
				names[i] = fmt.Sprintf("clinic-%d", i)
				s.TryAcquire(names[i], Send, 1)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				name := names[i%busy]
				i++
				if s.Acquire(b.Context(), name, Send, 1) != 1 {
					b.Fatal("no slot")
				}
				s.Release(name, Send)
			}
		})
	}
}

func BenchmarkPool(b *testing.B) {
	done := make(chan struct{}, 1)
	p := NewPool(64, func(int) { done <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		p.Start(1)
		<-done
	}
	p.Wait()
}
