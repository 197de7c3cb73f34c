package outboxtest

import (
	"flag"
	"runtime"
	"strconv"
)

// SideBySide lets more tests run at a time than there are cores, unless -parallel says how many:
// they wait for servers. It is called by TestMain.
func SideBySide() error {
	return flag.Set("test.parallel", strconv.Itoa(4+2*runtime.GOMAXPROCS(0)))
}
