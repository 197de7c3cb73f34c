package bulkexport

import (
	"context"
	"io"
)

// Store is where an export goes, and what it has reached is remembered: a [Dir] or a [Bucket].
type Store interface {
	// load returns what was saved under a name last, nil for nothing.
	load(ctx context.Context, name string) ([]byte, error)
	// save replaces what is under a name, whole and durably.
	save(ctx context.Context, name string, data []byte) error
	// write stores a file from r, and then what figures says of it: whole and durably, or not at all.
	write(ctx context.Context, name string, r io.Reader, figures func() Figures) error
	// files returns those that are there, with what was noted of them. Of one of which nothing was
	// noted the figures are nil.
	files(ctx context.Context) (map[string]*Figures, error)
	// note notes what a file has that is there.
	note(ctx context.Context, name string, f Figures) error
	// open reads a file that is there.
	open(ctx context.Context, name string) (io.ReadCloser, error)
}

// Figures are what a file has.
type Figures struct {
	Lines int64 `json:"lines"`
	Bytes int64 `json:"bytes"`
	// Issues are the lines of a file of kind Errors with an issue of severity error or fatal.
	Issues int64 `json:"issues,omitempty"`
}
