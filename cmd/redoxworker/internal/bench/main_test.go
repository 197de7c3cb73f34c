package bench

import (
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
)

func TestMain(m *testing.M) { clitest.M{M: m}.Run() }
