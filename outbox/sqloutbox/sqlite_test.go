package sqloutbox_test

import (
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

func TestOutbox_LosesDoublesAndReordersNothing(t *testing.T) { sqltest.SQLite().Correct(t, 2000) }

func TestOutbox_Enqueue(t *testing.T) { sqltest.SQLite().Enqueue(t) }

func TestOutbox_Relay(t *testing.T) { sqltest.SQLite().Relay(t) }
