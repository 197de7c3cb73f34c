package sqloutbox_test

import (
	"flag"
	"os"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/redoxworker/redoxworker/outbox/sqloutbox/internal/sqltest"
)

func TestMain(m *testing.M) {
	if sqltest.IsChild() {
		sqltest.Child() // a relay of a test, to be killed
		return
	}
	os.Exit(m.Run())
}

var transactions = flag.Int("transactions", 1500, "of each trial")

func TestOutbox_LosesDoublesAndReordersNothing(t *testing.T) {
	sqltest.SQLite().Correct(t, *transactions)
}

func TestOutbox_Enqueue(t *testing.T) { sqltest.SQLite().Enqueue(t) }

func TestOutbox_Relay(t *testing.T) { sqltest.SQLite().Relay(t) }

func BenchmarkThroughput(b *testing.B) { sqltest.SQLite().Throughput(b) }

func BenchmarkLag(b *testing.B) { sqltest.SQLite().Lag(b) }
