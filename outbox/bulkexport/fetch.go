package bulkexport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// fetch gets the files that are missing, some at once.
func (e *Export) fetch(ctx context.Context, s *state) (Result, error) {
	have, err := e.present(ctx, s)
	if err != nil {
		return Result{}, err
	}
	var missing []int
	for i, f := range s.Files {
		if have[f.Name] == nil {
			missing = append(missing, i)
		}
	}
	if len(missing) > 0 && s.Removed {
		return s.result(have), fmt.Errorf("bulkexport: %s is not there: %w", s.Files[missing[0]].Name, ErrCancelled)
	}
	err = e.fetchAll(ctx, s, missing, have)
	if err == nil && s.Phase != complete {
		s.Phase = complete
		err = e.save(ctx, s)
	}
	return s.result(have), err
}

// present are the files that are there, counted where a crash came between.
func (e *Export) present(ctx context.Context, s *state) (map[string]*Figures, error) {
	found, err := e.config.Store.files(ctx)
	if err != nil {
		return nil, fmt.Errorf("bulkexport: look for files: %w", err)
	}
	have := make(map[string]*Figures, len(s.Files))
	var sum Progress
	for _, f := range s.Files {
		figures, there := found[f.Name]
		if !there {
			continue
		}
		if figures == nil {
			if figures, err = e.recount(ctx, f); err != nil {
				return nil, fmt.Errorf("bulkexport: count %s: %w", f.Name, err)
			}
		}
		have[f.Name] = figures
		sum.Done, sum.Bytes, sum.Lines = sum.Done+1, sum.Bytes+figures.Bytes, sum.Lines+figures.Lines
	}
	e.progress.change(func(p *Progress) { *p = sum; p.Ready, p.Files = true, len(s.Files) })
	return have, nil
}

// recount counts a file of which nothing was noted.
func (e *Export) recount(ctx context.Context, f file) (*Figures, error) {
	r, err := e.config.Store.open(ctx, f.Name)
	if err != nil {
		return nil, err
	}
	figures, err := count(untilDone{ctx, r}, f.Kind)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return &figures, e.config.Store.note(ctx, f.Name, figures)
}

// fetchAll gets files, and stops at the first that cannot be had.
func (e *Export) fetchAll(ctx context.Context, s *state, missing []int, have map[string]*Figures) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		mu    sync.Mutex
		first error
		group sync.WaitGroup
	)
	next := make(chan int)
	for range min(e.config.Parallel, len(missing)) {
		group.Go(func() {
			for i := range next {
				figures, err := e.file(ctx, s, i)
				mu.Lock()
				switch {
				case err == nil:
					have[s.Files[i].Name] = &figures
				case first == nil:
					first = err
					stop(errStopped)
				}
				mu.Unlock()
			}
		})
	}
	for _, i := range missing {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	group.Wait()
	if first == nil && ctx.Err() != nil {
		first = context.Cause(ctx)
	}
	return first
}

// file gets one, however often that takes.
func (e *Export) file(ctx context.Context, s *state, i int) (Figures, error) {
	f, trouble := s.Files[i], patience{limit: e.config.Patience}
	for {
		figures, err := e.once(ctx, s, f, fmt.Sprintf("%s-f%d-%d", s.run, i, e.tries.Add(1)))
		if err == nil {
			return figures, nil
		}
		if !trouble.bears(ctx, err) {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return Figures{}, fmt.Errorf("bulkexport: fetch %s: %w", f.Name, err)
		}
		if err := pause(ctx, between(trouble.times)); err != nil {
			return Figures{}, err
		}
	}
}

// once gets a file once.
func (e *Export) once(ctx context.Context, s *state, f file, id string) (figures Figures, err error) {
	from, drop, err := e.source(ctx, s, f, id)
	if err != nil {
		return figures, err
	}
	come := &tally{Reader: from, progress: &e.progress}
	defer func() {
		_ = from.Close() // it was only read
		e.progress.change(func(p *Progress) {
			p.Bytes += figures.Bytes - come.bytes
			if err == nil {
				p.Done, p.Lines = p.Done+1, p.Lines+figures.Lines
			}
		})
	}()
	c, err := newCounter(come, f.Kind)
	if err != nil {
		return figures, err
	}
	if err := e.config.Store.write(ctx, f.Name, c, func() Figures { return c.figures }); err != nil {
		return figures, err
	}
	drop()
	return c.figures, nil
}

// tally tells how much of a file has come.
type tally struct {
	io.Reader
	progress *progress
	bytes    int64
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p)
	t.bytes += int64(n)
	t.progress.change(func(now *Progress) { now.Bytes += int64(n) })
	return n, err
}

// source is where a file is read from: the answer to a REQUEST, or another host.
func (e *Export) source(ctx context.Context, s *state, f file, id string) (from io.ReadCloser, drop func(), err error) {
	if !sameHost(s.Status, f.URL) {
		from, err = e.direct(ctx, f)
		return from, func() {}, err
	}
	r, err := e.ask(ctx, id, time.Now().Add(e.config.Wait), outbox.Message{Method: http.MethodGet, Path: f.URL, Accept: asLines})
	if err == nil {
		err = notAFile(r)
	}
	if err != nil {
		return nil, nil, err
	}
	body, err := e.body(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	return io.NopCloser(body), func() { body.drop(ctx) }, nil
}

// notAFile says what is wrong with the reply that should be a file.
func notAFile(r outbox.Reply) error {
	switch {
	case r.Settlement == outbox.Delivered && r.Status == http.StatusOK && r.Error == "":
		return nil
	case r.Settlement == outbox.Delivered && strings.Contains(r.Error, "ended early"):
		return passing{refused("the file", r)}
	case r.Settlement == outbox.Expired || r.Settlement == outbox.Exhausted:
		return passing{refused("the file", r)}
	case r.Status == http.StatusNotFound || r.Status == http.StatusGone:
		return fmt.Errorf("%w (status %d)", ErrGone, r.Status)
	}
	return refused("the file", r)
}
