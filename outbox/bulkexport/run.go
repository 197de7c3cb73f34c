package bulkexport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Result is what an export has brought so far.
type Result struct {
	// Complete: all files that the server named are there.
	Complete bool `json:"complete"`
	// TransactionTime is the instant of the server's clock to which the export belongs, RFC 3339:
	// Request.Since of the next one. "" before it is ready.
	TransactionTime string `json:"transaction_time,omitempty"`
	// Expires is when the server forgets it, as it says it; "" when it does not.
	Expires string `json:"expires,omitempty"`
	// Files are those that are there.
	Files []File `json:"files,omitempty"`
	// Issues are the resources that could not be exported, as far as the server tells of errors: lines
	// of files of kind Errors.
	Issues int64 `json:"issues,omitempty"`
	// Warnings are what should be looked at, one safe line each.
	Warnings []string `json:"warnings,omitempty"`
}

// File is one that is there.
type File struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Type is that of its resources.
	Type string `json:"type"`
	Figures
	// Short: it has another number of lines than the server said.
	Short bool `json:"short,omitempty"`
}

// OK reports whether the export is complete, and every file and resource that should be in it is.
func (r Result) OK() bool {
	for _, f := range r.Files {
		if f.Short {
			return false
		}
	}
	return r.Complete && r.Issues == 0
}

// Run gets the export, or what is missing of it, until it is complete, ctx ends or something is in the
// way that does not pass. The Result is what is there, also beside an error. Another Run goes on.
func (e *Export) Run(ctx context.Context) (Result, error) {
	s, err := e.load(ctx)
	if err != nil {
		return Result{}, err
	}
	for there := -1; err == nil; {
		switch s.Phase {
		case fresh, asked:
			err = e.begin(ctx, s)
		case running:
			err = e.poll(ctx, s)
		case ready, complete: // of which a file may have been removed
			result, err := e.fetch(ctx, s)
			if s.Removed || !errors.Is(err, ErrGone) || len(result.Files) <= there {
				return result, err
			}
			// Links may be signed for a while only. There are others for who asks again, as long as
			// that brings files.
			s.Phase, there = running, len(result.Files)
		default:
			return e.soFar(ctx, s), s.ended()
		}
	}
	return e.soFar(ctx, s), err
}

// soFar is what is there of an export that does not go on now, as far as that can be seen.
func (e *Export) soFar(ctx context.Context, s *state) Result {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookFor)
	defer cancel()
	found, _ := e.config.Store.files(ctx) // what cannot be listed is left out
	return s.result(found)
}

// Cancel tells the server to forget the export, whether it is ready or not. What is here stays; an
// export that is not complete cannot go on.
func (e *Export) Cancel(ctx context.Context) error {
	s, err := e.load(ctx)
	if err != nil {
		return err
	}
	if s.Phase == asked { // its address may be in a reply that nobody has read
		if err := e.begin(ctx, s); err != nil {
			return err
		}
	}
	switch s.Phase {
	case running, ready, complete:
	case unknown:
		return s.ended()
	default:
		return fmt.Errorf("bulkexport: %w", ErrNotBegun)
	}
	r, err := e.ask(ctx, s.run+"-c", time.Now().Add(e.config.Wait), outbox.Message{Method: http.MethodDelete, Path: s.Status, Accept: fhirJSON})
	switch {
	case err != nil:
		return fmt.Errorf("bulkexport: cancel the export: %w", err)
	case r.Settlement != outbox.Delivered && r.Status != http.StatusNotFound && r.Status != http.StatusGone:
		return refused("cancel the export", r)
	}
	if s.Removed = true; s.Phase != complete {
		s.Phase = cancelled
	}
	return e.save(ctx, s)
}

// result is what there is, by the names of files.
func (s *state) result(have map[string]*Figures) Result {
	r := Result{Complete: s.Phase == complete, TransactionTime: s.Time, Expires: s.Expires}
	for _, f := range s.Files {
		figures := have[f.Name]
		if figures == nil {
			continue
		}
		one := File{Name: f.Name, Kind: f.Kind, Type: f.Type, Figures: *figures, Short: f.Count != nil && *f.Count != figures.Lines}
		if one.Short {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s has %d lines, and the server says %d", f.Name, figures.Lines, *f.Count))
		}
		r.Issues += figures.Issues
		r.Files = append(r.Files, one)
	}
	if r.Issues > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the server could not export everything: %d errors, in the files errors-….ndjson", r.Issues))
	}
	if s.Attempts > 1 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("the request that begins the export was sent %d times: the server may run another one, which expires there", s.Attempts))
	}
	return r
}

// errStopped is the error of a file that was left because another one failed.
var errStopped = errors.New("another file failed")
