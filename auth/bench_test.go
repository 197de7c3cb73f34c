package auth

import (
	"context"
	"testing"
)

// readyCache is a Cache with a token at hand.
func readyCache(tb testing.TB, pool int) *Cache {
	tb.Helper()
	c := must(NewCache(&bench{}, CacheConfig{Pool: pool}))
	for range 10 * pool {
		bearer(tb, c)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = c.Run(ended) // joins what is under way
	for c.Status().Tokens < pool {
		bearer(tb, c)
	}
	return c
}

func TestBearer_AllocatesNothing(t *testing.T) {
	ctx := context.Background()
	for _, pool := range []int{1, 8} {
		c := readyCache(t, pool)
		n := testing.AllocsPerRun(1000, func() {
			if _, err := c.Bearer(ctx); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("pool %d: %v allocations", pool, n)
		}
	}
}

func BenchmarkBearer(b *testing.B) {
	c, ctx := readyCache(b, 1), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Bearer(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBearer_Parallel(b *testing.B) {
	c, ctx := readyCache(b, 8), context.Background()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := c.Bearer(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
