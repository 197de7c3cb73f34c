package conformance

import (
	"flag"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

var transactions = flag.Int("transactions", 10000, "of each trial")

func servers() map[string]sqltest.Server {
	return map[string]sqltest.Server{"PostgreSQL": postgres.serving(), "MariaDB": maria.serving()}
}

// each runs a test on every database.
func each(t *testing.T, test func(t *testing.T, s sqltest.Server)) {
	for name, s := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

func TestOutbox_LosesDoublesAndReordersNothing(t *testing.T) {
	each(t, func(t *testing.T, s sqltest.Server) { s.Correct(t, *transactions) })
}

func TestOutbox_NaiveRelaysAreFoundOut(t *testing.T) {
	each(t, func(t *testing.T, s sqltest.Server) { s.NaiveFail(t, 1000) })
}

func TestOutbox_Enqueue(t *testing.T) {
	each(t, func(t *testing.T, s sqltest.Server) { s.Enqueue(t) })
}

func TestOutbox_Relay(t *testing.T) {
	t.Run("falls silent", fallsSilent)
	each(t, func(t *testing.T, s sqltest.Server) { s.Relay(t) })
}

// of runs a benchmark on every database.
func of(b *testing.B, bench func(b *testing.B, s sqltest.Server)) {
	for name, s := range servers() {
		b.Run(name, func(b *testing.B) { bench(b, s) })
	}
}

func BenchmarkThroughput(b *testing.B) {
	of(b, func(b *testing.B, s sqltest.Server) { s.Throughput(b) })
}

func BenchmarkLag(b *testing.B) {
	of(b, func(b *testing.B, s sqltest.Server) { s.Lag(b) })
}
