package main

import (
	"context"
	"errors"
	"io"
	"os"
)

// input is where a body, or lines of them, comes from.
type input struct {
	*io.PipeReader
	file *os.File // nil for standard input
	stop func() bool
}

// open the file of the body. A terminal is read only when it was asked for. Reading ends
// when ctx does.
func (f messageFlags) open(ctx context.Context, a *app) (*input, error) {
	switch {
	case f.File == "" && isTerminal(a.stdin):
		return nil, usagef("file: missing; name one, or - to type the body")
	case f.File == "" || f.File == "-":
		return newInput(ctx, a.stdin, nil), nil
	}
	file, err := os.Open(f.File)
	if err != nil {
		return nil, usagef("file: %w", err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close() // nothing was read
		return nil, usagef("file: %s is a directory; name a file in it", f.File)
	}
	return newInput(ctx, file, file), nil
}

// newInput reads in a goroutine of its own, since nothing ends a read of standard input:
// after an interrupt that goroutine waits for more of it until the process ends.
func newInput(ctx context.Context, in io.Reader, file *os.File) *input {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err) // never fails
	}()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(whyEnded(ctx)) })
	return &input{PipeReader: r, file: file, stop: stop}
}

// Close ends the reading.
func (i *input) Close() error {
	i.stop()
	err := i.PipeReader.Close()
	if i.file != nil {
		err = errors.Join(err, i.file.Close())
	}
	return err
}

// size is that of a regular file, 0 of anything else.
func (i *input) size() int64 {
	if i.file == nil {
		return 0
	}
	info, err := i.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// at is how much of a regular file has been read, 0 of anything else.
func (i *input) at() int64 {
	if i.size() == 0 {
		return 0
	}
	at, err := i.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

// whyEnded is why ctx ended, in the words of who reads it.
func whyEnded(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return errors.New("interrupted")
}
