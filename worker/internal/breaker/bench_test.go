package breaker

import "testing"

func BenchmarkBreaker_Open(b *testing.B) {
	g := New(scopes{"clinic-a": {"key:main", "group:default", "host:far"}}, 5, func(Change) {})
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(b.Context(), "clinic-a").Clear()
	}
}
