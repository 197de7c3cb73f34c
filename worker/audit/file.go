package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// lookEvery is how often a File looks whether its file was moved away.
const lookEvery = time.Second

// File appends entries to a file, one JSON object in a line. Each line is one write
// at the file's end, so several processes may share the file. A file that was moved or
// removed, as by logrotate, is opened anew within a second. It is safe for concurrent use.
type File struct {
	path string

	mu     sync.Mutex
	file   *os.File // nil when it could not be opened
	torn   bool     // the file ends within a line
	looked time.Time
	closed bool
}

// NewFile opens the file, or creates it for its owner alone (0600).
func NewFile(path string) (*File, error) {
	f := &File{path: path}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// Append is a [Sink]. The line is with the operating system when it returns, not
// necessarily on the disk.
func (f *File) Append(_ context.Context, e Entry) error {
	return f.write(e, false)
}

// Deed is a [DeedSink]. The line is on the disk when it returns.
func (f *File) Deed(_ context.Context, d Deed) error { return f.write(d, true) }

func (f *File) write(entry any, sync bool) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("worker: encoding an audit entry: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.follow(); err != nil {
		return err
	}
	line = append(line, '\n')
	if f.torn { // the half line stays one of its own, and this one whole
		line = slices.Insert(line, 0, '\n')
	}
	n, err := f.file.Write(line)
	f.torn = err != nil && (f.torn || n > 0)
	if err == nil && sync {
		err = f.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("worker: audit file: %w", err)
	}
	return nil
}

// Close closes the file. Appends after it fail.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// follow opens the file anew when its path leads elsewhere by now.
func (f *File) follow() error {
	switch {
	case f.closed:
		return fmt.Errorf("worker: audit file: %w", os.ErrClosed)
	case f.file == nil:
		return f.open()
	case time.Since(f.looked) < lookEvery:
		return nil
	}
	f.looked = time.Now()
	have, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("worker: audit file: %w", err)
	}
	there, err := os.Stat(f.path)
	switch {
	case err == nil && os.SameFile(have, there):
		return nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("worker: audit file: %w", err)
	}
	_ = f.file.Close() // every line was written already
	f.file = nil
	return f.open()
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("worker: audit file: %w; make its folder writable for this user", err)
	}
	f.file, f.looked, f.torn = file, time.Now(), endsTorn(f.path)
	return nil
}

// endsTorn reports whether a file ends within a line, as when its disk was full or the
// machine lost power. What cannot be read does not.
func endsTorn(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}
