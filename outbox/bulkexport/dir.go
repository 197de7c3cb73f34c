package bulkexport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// journalName is the file of a directory in which a line stands for each file that is complete.
const journalName = "export.files"

const partSuffix = ".part"

// Dir is a directory, for the owner alone: 0700, its files 0600. One is written as NAME.part,
// flushed to the disk and renamed.
type Dir struct{ path string }

// OpenDir makes the directory if it is not there.
func OpenDir(path string) (*Dir, error) {
	if path == "" {
		return nil, errors.New("bulkexport: the directory has no name")
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("bulkexport: %w", err)
	}
	return &Dir{path: path}, nil
}

func (d *Dir) at(name string) string { return filepath.Join(d.path, name) }

func (d *Dir) load(_ context.Context, name string) ([]byte, error) {
	data, err := os.ReadFile(d.at(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func (d *Dir) save(ctx context.Context, name string, data []byte) error {
	return d.replace(ctx, name, bytes.NewReader(data))
}

// replace writes a file that is seen whole, old or new.
func (d *Dir) replace(ctx context.Context, name string, r io.Reader) error {
	part := d.at(name + partSuffix)
	f, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{f}, untilDone{ctx, r}, make([]byte, 64<<10))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err // the part is written over by the next one
	}
	if err := os.Rename(part, d.at(name)); err != nil {
		return err
	}
	return d.sync()
}

// onlyWriter hides ReadFrom, which would take a buffer of its own.
type onlyWriter struct{ io.Writer }

// untilDone ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.r.Read(p)
}

// sync makes names of the directory durable, where its file system can.
func (d *Dir) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

func (d *Dir) write(ctx context.Context, name string, r io.Reader, figures func() Figures) error {
	if err := d.replace(ctx, name, r); err != nil {
		return err
	}
	return d.note(ctx, name, figures())
}

// noted is a line of the journal.
type noted struct {
	Name string `json:"name"`
	Figures
}

// note appends a line. One that was torn by a crash is closed first.
func (d *Dir) note(_ context.Context, name string, figures Figures) error {
	line, err := json.Marshal(noted{name, figures})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(d.at(journalName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d *Dir) files(context.Context) (map[string]*Figures, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*Figures)
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".ndjson") {
			found[e.Name()] = nil
		}
	}
	f, err := os.Open(d.at(journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var n noted
		if json.Unmarshal(lines.Bytes(), &n) != nil {
			continue // empty, or torn
		}
		if _, there := found[n.Name]; there {
			found[n.Name] = &n.Figures
		}
	}
	return found, lines.Err()
}

func (d *Dir) open(_ context.Context, name string) (io.ReadCloser, error) { return os.Open(d.at(name)) }
