package cli

import (
	"context"
	"errors"
	"io"
	"os"
)

// Input is where a body, or lines of them, comes from.
type Input struct {
	*io.PipeReader
	file *os.File // nil for standard input
	stop func() bool
}

// OpenInput opens the file that the argument "file" names; "" and "-" are standard
// input, but a terminal is read only for "-". Reading ends when ctx does.
func (a *App) OpenInput(ctx context.Context, name string) (*Input, error) {
	switch {
	case name == "" && IsTerminal(a.Stdin):
		return nil, Usagef("file: missing; name one, or - to type the body")
	case name == "" || name == "-":
		return newInput(ctx, a.Stdin, nil), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, Usagef("file: %w", err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		_ = file.Close() // nothing was read
		return nil, Usagef("file: %s is a directory; name a file in it", name)
	}
	return newInput(ctx, file, file), nil
}

// newInput reads in a goroutine of its own, since nothing ends a read of standard input:
// after an interrupt that goroutine waits for more of it until the process ends.
func newInput(ctx context.Context, in io.Reader, file *os.File) *Input {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err) // never fails
	}()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(WhyEnded(ctx)) })
	return &Input{PipeReader: r, file: file, stop: stop}
}

// Close ends the reading.
func (i *Input) Close() error {
	i.stop()
	err := i.PipeReader.Close()
	if i.file != nil {
		err = errors.Join(err, i.file.Close())
	}
	return err
}

// Size is that of a regular file, 0 of anything else.
func (i *Input) Size() int64 {
	if i.file == nil {
		return 0
	}
	info, err := i.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return info.Size()
}

// At is how much of a regular file has been read, 0 of anything else.
func (i *Input) At() int64 {
	if i.Size() == 0 {
		return 0
	}
	at, err := i.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return at
}

// WhyEnded is why ctx ended, in the words of who reads it.
func WhyEnded(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return errors.New("interrupted")
}
