package bulkexport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is a bucket of a NATS object store, in which the names of an export begin with a folder.
type Bucket struct {
	store  jetstream.ObjectStore
	folder string
}

// NewBucket takes a bucket that is there. folder, which may be empty, tells its exports apart: it is
// put before each name, with a slash. A process that is killed while it stores a file leaves the parts of it
// that were stored, which no name leads to.
func NewBucket(store jetstream.ObjectStore, folder string) (*Bucket, error) {
	if store == nil {
		return nil, errors.New("bulkexport: NewBucket needs an object store")
	}
	if folder = strings.Trim(folder, "/"); folder != "" {
		folder += "/"
	}
	return &Bucket{store: store, folder: folder}, nil
}

func (b *Bucket) load(ctx context.Context, name string) ([]byte, error) {
	data, err := b.store.GetBytes(ctx, b.folder+name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, nil
	}
	return data, err
}

func (b *Bucket) save(ctx context.Context, name string, data []byte) error {
	_, err := b.store.PutBytes(ctx, b.folder+name, data)
	return err
}

// Names of what an object's metadata says of it.
const (
	metaLines  = "lines"
	metaIssues = "issues"
)

func (b *Bucket) write(ctx context.Context, name string, r io.Reader, figures func() Figures) error {
	from := &readError{r: untilDone{ctx, r}}
	_, err := b.store.Put(ctx, jetstream.ObjectMeta{Name: b.folder + name}, from)
	switch {
	case err == nil:
		return b.note(ctx, name, figures())
	case from.err != nil || ctx.Err() != nil || errors.As(err, new(*jetstream.APIError)):
		return err
	}
	return passing{fmt.Errorf("store it in the bucket: %w", err)} // NATS is away
}

// readError remembers why a file could not be read, to tell that from trouble of the store.
type readError struct {
	r   io.Reader
	err error
}

func (e *readError) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		e.err = err
	}
	return n, err
}

func (b *Bucket) note(ctx context.Context, name string, f Figures) error {
	return b.store.UpdateMeta(ctx, b.folder+name, jetstream.ObjectMeta{Name: b.folder + name, Metadata: map[string]string{
		metaLines: strconv.FormatInt(f.Lines, 10), metaIssues: strconv.FormatInt(f.Issues, 10),
	}})
}

func (b *Bucket) files(ctx context.Context) (map[string]*Figures, error) {
	infos, err := b.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the bucket: %w", err)
	}
	found := make(map[string]*Figures)
	for _, o := range infos {
		name, ours := strings.CutPrefix(o.Name, b.folder)
		if !ours || o.Deleted || !strings.HasSuffix(name, ".ndjson") {
			continue
		}
		found[name] = nil
		lines, noLines := strconv.ParseInt(o.Metadata[metaLines], 10, 64)
		issues, noIssues := strconv.ParseInt(o.Metadata[metaIssues], 10, 64)
		if noLines == nil && noIssues == nil {
			found[name] = &Figures{Lines: lines, Bytes: int64(min(o.Size, 1<<62)), Issues: issues}
		}
	}
	return found, nil
}

// readTime bounds the reading of one file. Without a deadline the client library has one of seconds.
const readTime = time.Hour

func (b *Bucket) open(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	r, err := b.store.Get(ctx, b.folder+name)
	if err != nil {
		cancel()
		return nil, err
	}
	return &reading{r, cancel}, nil
}

// reading is an object that is read, and ends its time when it is closed.
type reading struct {
	io.ReadCloser
	cancel func()
}

func (r *reading) Close() error {
	r.cancel()
	return r.ReadCloser.Close()
}
