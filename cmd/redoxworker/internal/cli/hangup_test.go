package cli

import (
	"os"
	"syscall"
	"testing"
)

// With a terminal, or where nothing can be read again, it ends the command.
func TestHangup(t *testing.T) {
	t.Parallel()
	signals, h, told := make(chan os.Signal), new(Hangup), make(chan string)
	go h.Watch(signals, func() { told <- "ended" })
	defer close(signals)
	reread := func() { told <- "reread" }
	for _, step := range []struct {
		do   *func()
		want string
	}{{nil, "ended"}, {&reread, "reread"}, {&reread, "reread"}, {nil, "ended"}} {
		h.reread.Store(step.do)
		signals <- syscall.SIGHUP
		if got := <-told; got != step.want {
			t.Errorf("%s, want %s", got, step.want)
		}
	}
}
