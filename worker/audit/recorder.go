package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Outcome is how a deed ended.
type Outcome string

// The outcomes of a deed.
const (
	// Done: it came to its end. What could not be done with single messages is in the counts.
	Done Outcome = "done"
	// Failed: an error ended it; what is counted was done before.
	Failed Outcome = "failed"
	// Interrupted: its operator ended it; what is counted was done before.
	Interrupted Outcome = "interrupted"
)

// keepTimeout bounds the writing of one entry.
const keepTimeout = 10 * time.Second

// Recorder writes what one operator does. It is safe for concurrent use.
type Recorder struct {
	keep DeedSink
	by   string
}

// NewRecorder needs a sink and who the operator is.
func NewRecorder(keep DeedSink, by string) (*Recorder, error) {
	if keep == nil || by == "" {
		return nil, errors.New("worker: audit.NewRecorder needs a sink and a name")
	}
	return &Recorder{keep: keep, by: by}, nil
}

// By is who the operator is.
func (r *Recorder) By() string { return r.by }

// Begin writes the entry of a deed and returns when it is kept. It sets ID, Time and By. The
// error wraps [ErrNotKept]: the deed must not be done. Whoever has begun a deed must end it.
func (r *Recorder) Begin(ctx context.Context, d Deed) (*Begun, error) {
	d.ID, d.Time, d.By = outbox.NewID(), time.Now().UTC(), r.by
	d.Outcome, d.Counts, d.Error = "", nil, ""
	d.Reason, d.Detail, d.Filter = line(d.Reason), line(d.Detail), line(d.Filter)
	if err := r.write(ctx, d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotKept, err)
	}
	return &Begun{recorder: r, deed: d}, nil
}

// Do does one thing: it writes the entry, does it, and writes the outcome. Where the entry cannot be
// written, do is not called.
func (r *Recorder) Do(ctx context.Context, d Deed, do func(context.Context) error) error {
	b, err := r.Begin(ctx, d)
	if err != nil {
		return err
	}
	err = do(ctx)
	if kept := b.End(ctx, Result{Err: err}); kept != nil {
		return errors.Join(err, kept)
	}
	return err
}

// Begun is a deed whose entry is kept.
type Begun struct {
	recorder *Recorder
	deed     Deed
}

// Result says how a deed ended.
type Result struct {
	// Err ended it before its end; nil means that it was done. One of a context that was cancelled means that
	// it was interrupted.
	Err error
	// Interrupted: its operator ended it.
	Interrupted bool
	// Counts are how many messages came to what; IDs those of them that were not known before.
	Counts map[string]int
	IDs    map[string][]string
}

// End writes the entry of the outcome, also when ctx has ended. The error wraps [ErrOutcomeNotKept].
func (b *Begun) End(ctx context.Context, result Result) error {
	d := Deed{ID: b.deed.ID, Time: time.Now().UTC(), By: b.deed.By, Action: b.deed.Action, Source: b.deed.Source, Detail: b.deed.Detail,
		Outcome: Done, Counts: result.Counts, IDs: result.IDs}
	switch {
	case result.Interrupted || errors.Is(result.Err, context.Canceled) || result.Err != nil && ctx.Err() != nil:
		d.Outcome = Interrupted
	case result.Err != nil:
		d.Outcome, d.Error = Failed, line(result.Err.Error())
	}
	if err := b.recorder.write(context.WithoutCancel(ctx), d); err != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeNotKept, err)
	}
	return nil
}

// write keeps all entries of a deed.
func (r *Recorder) write(ctx context.Context, d Deed) error {
	for _, entry := range d.split() {
		if err := r.one(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) one(ctx context.Context, d Deed) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("worker: the audit sink panicked")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	return r.keep(ctx, d)
}
