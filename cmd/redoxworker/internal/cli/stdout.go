package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/term"
)

// resultOutput is standard output, of which a command that prints need not check every write: the
// first that failed is known at the end, as on a full disk. A reader that has gone away is
// no failure: that is its wish.
type resultOutput struct {
	out io.Writer

	mu     sync.Mutex
	failed error
}

// Write writes, and notes a failure.
func (o *resultOutput) Write(p []byte) (int, error) {
	n, err := o.out.Write(p)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.failed == nil {
			o.failed = err
		}
	}
	return n, err
}

// failure is what kept something from being written.
func (o *resultOutput) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// fileOf is the file behind a stream; nil when there is none.
func fileOf(stream any) *os.File {
	if o, ok := stream.(*resultOutput); ok {
		stream = o.out
	}
	f, _ := stream.(*os.File)
	return f
}

// IsTerminal reports whether a stream is a terminal that wants more than plain lines.
func IsTerminal(stream any) bool {
	f := fileOf(stream)
	return f != nil && term.IsTerminal(int(f.Fd()))
}

// TerminalSize is the width and the height of a stream that is a terminal, else 0.
func TerminalSize(stream any) (width, height int) {
	if !IsTerminal(stream) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(fileOf(stream).Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// Printf writes to stdout. A closed pipe is the reader's wish and no error.
func (a *App) Printf(format string, args ...any) { fmt.Fprintf(a.Stdout, format, args...) }

// PrintText prints a text that ends in one line end, whatever it had.
func (a *App) PrintText(text []byte) error {
	if n := len(text); n == 0 || text[n-1] != '\n' {
		text = append(text[:n:n], '\n')
	}
	_, err := a.Stdout.Write(text)
	return err
}
