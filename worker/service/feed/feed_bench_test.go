package feed

import (
	"fmt"
	"testing"
)

// BenchmarkFeed changes one of 5,000 files, and rereads all.
func BenchmarkFeed(b *testing.B) {
	r := newRig(b, "")
	for i := range 5_000 {
		r.write(fmt.Sprintf("sources.d/%04d.yaml", i), fileOf(fmt.Sprintf("clinic-%04d", i)))
	}
	r.Reread()
	n := 0
	for b.Loop() {
		n++
		r.write("sources.d/0000.yaml", fileOf(fmt.Sprintf("clinic-new-%d", n)))
		r.Reread()
	}
	if got := len(r.now.Load().Sources); got != 5_001 || int(r.applied.Load()) != n+1 {
		b.Fatalf("%d sources, %d applied of %d; %v", got, r.applied.Load(), n+1, r.Status().Problems)
	}
}
