package breaker

import (
	"fmt"
	"testing"
)

func BenchmarkBreaker_Open(b *testing.B) {
	g := New(scopes{"clinic-a": {"key:main", "group:default", "host:far"}}, 5, func(Change) {})
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(b.Context(), "clinic-a").Clear()
	}
}

// One source more costs the same beside thousands.
func BenchmarkBreaker_AddSource(b *testing.B) {
	g := New(nil, 5, func(Change) {})
	for i := range b.N {
		g.AddSource(fmt.Sprint("source-", i%100_000))
	}
}
