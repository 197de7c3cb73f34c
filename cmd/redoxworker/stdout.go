package main

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
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
