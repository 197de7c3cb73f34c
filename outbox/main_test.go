package outbox

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// TestMain lets more tests run side by side than there are cores, unless -parallel says how
// many: they wait for servers.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(4+2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
