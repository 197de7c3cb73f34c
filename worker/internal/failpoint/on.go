//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// At kills or stops this process at a step: see off.go. The environment says
// which, WORKER_FAILPOINT=<step>[:<nth>[:stop]]. The nth time (from 1, the default)
// that any delivery comes to the step the process gets SIGKILL, or SIGSTOP with the word
// stop, from which it goes on when somebody sends it SIGCONT.
func At(step string) {
	want := wantedFailure()
	if step != want.step || passed.Add(1) != want.nth {
		return
	}
	if !want.stop {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	time.Sleep(100 * time.Millisecond) // the signal may come a moment later; time passes while stopped
}

// passed counts the arrivals at the step that was asked for.
var passed atomic.Int64

var wantedFailure = sync.OnceValue(func() (f struct {
	step string
	nth  int64
	stop bool
}) {
	step, rest, _ := strings.Cut(os.Getenv("WORKER_FAILPOINT"), ":")
	count, action, _ := strings.Cut(rest, ":")
	f.step, f.stop = step, action == "stop"
	if f.nth, _ = strconv.ParseInt(count, 10, 64); f.nth < 1 {
		f.nth = 1
	}
	return f
})
