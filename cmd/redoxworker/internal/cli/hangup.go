package cli

import (
	"os"
	"sync/atomic"
)

// Hangup is what SIGHUP does: it ends the command, as the terminal was closed, or has a daemon
// that has none read its files again.
type Hangup struct{ reread atomic.Pointer[func()] }

// Watch acts on each signal until there are no more: end ends the command.
func (h *Hangup) Watch(signals <-chan os.Signal, end func()) {
	for range signals {
		if reread := h.reread.Load(); reread != nil {
			(*reread)()
		} else {
			end()
		}
	}
}

// OnHangup has SIGHUP call reread, until undo is called. Where standard input is a terminal nothing
// changes: SIGHUP says that it was closed.
func (a *App) OnHangup(reread func()) (undo func()) {
	if a.Hangup == nil || IsTerminal(a.Stdin) {
		return func() {}
	}
	a.Hangup.reread.Store(&reread)
	return func() { a.Hangup.reread.Store(nil) }
}
