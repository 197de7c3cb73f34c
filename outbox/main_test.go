package outbox

import (
	"os"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
)

func TestMain(m *testing.M) {
	if os.Getenv(repliesServer) != "" {
		panic(readReplies())
	}
	if err := outboxtest.SideBySide(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
