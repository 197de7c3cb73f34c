package operate

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// deed is about the dead letters of a selection.
func deed(s dlq.Selection, action audit.Action, reason string) audit.Deed {
	d := audit.Deed{Action: action, Count: s.Len(), IDs: s.IDs(), Filter: s.Query().String(), Reason: reason}
	if len(d.IDs) == 1 {
		for source := range d.IDs {
			d.Source = source
		}
	}
	return d
}

// Discard deletes the dead letters of s for good; see [dlq.Store.Discard]. A dry run leaves no entry.
func (d *Desk) Discard(ctx context.Context, s dlq.Selection, o dlq.DiscardOptions, reason string) iter.Seq2[dlq.Handled, error] {
	return func(yield func(dlq.Handled, error) bool) {
		if s.Len() > 0 && !o.DryRun {
			if err := d.record.Record(ctx, deed(s, audit.Discard, reason)); err != nil {
				yield(dlq.Handled{}, err)
				return
			}
		}
		d.letters.Discard(ctx, s, o)(yield)
	}
}

// Reveal returns the body of a dead letter, as [dlq.Store.Body] does. Body and headers are patient
// data: show nothing of either before it returned.
func (d *Desk) Reveal(ctx context.Context, l dlq.Stored, reason string) (body []byte, err error) {
	if err := d.record.Record(ctx, about(l, audit.Reveal, reason)); err != nil {
		return nil, err
	}
	return d.letters.Body(ctx, l)
}

// about is a deed about one dead letter.
func about(l dlq.Stored, action audit.Action, reason string) audit.Deed {
	source := l.Source
	if source == "" {
		source = outbox.NoSource
	}
	return audit.Deed{Action: action, Source: source, Count: 1, IDs: map[string][]string{source: {l.MessageID}}, Reason: reason}
}

// Edit sends a dead letter again with another body; see [dlq.Store.Edit]. A dry run leaves no entry.
func (d *Desk) Edit(ctx context.Context, l dlq.Stored, body []byte, o dlq.ReplayOptions, reason string) (dlq.Handled, error) {
	if !o.DryRun {
		e := about(l, audit.Edit, reason)
		id, _ := l.ReplayID()
		e.Detail = fmt.Sprintf("sent as %s; %d bytes, was %d", id, len(body), l.Size)
		if err := d.record.Record(ctx, e); err != nil {
			return dlq.Handled{}, err
		}
	}
	return d.letters.Edit(ctx, l, body, o)
}

// Exported is a dead letter that leaves the system. The Body is nil unless it was asked for.
type Exported struct {
	dlq.Stored
	Body []byte
	// Lost says why there is no body although one was asked for.
	Lost error
}

// Export yields the dead letters that q selects, oldest first, with their bodies where these are
// asked for, and changes none. What is settled after it began is left out. A [*dlq.UnreadableError] is
// about one message, and the export goes on after it; any other error is the last thing it yields.
// [*dlq.SharedIDError] is that of an id of messages of several sources, none of which q names.
func (d *Desk) Export(ctx context.Context, q dlq.Query, bodies bool, reason string) iter.Seq2[Exported, error] {
	return func(yield func(Exported, error) bool) {
		s, err := d.letters.Select(ctx, q)
		if err == nil && len(q.Sources) == 0 {
			if shared := s.Shared(q.IDs); shared != nil {
				err = shared
			}
		}
		if err == nil && s.Len() > 0 {
			e := deed(s, audit.Export, reason)
			if e.Detail = "without bodies"; bodies {
				e.Detail = "with bodies"
			}
			err = d.record.Record(ctx, e)
		}
		if err != nil {
			yield(Exported{}, err)
			return
		}
		d.export(ctx, q, s, bodies, yield)
	}
}

func (d *Desk) export(ctx context.Context, q dlq.Query, s dlq.Selection, bodies bool, yield func(Exported, error) bool) {
	selected := s.Sequences()
	q.IDs = nil // those of their replays may be selected in their place
	for l, err := range d.letters.List(ctx, q) {
		one := Exported{Stored: l}
		switch {
		case err != nil:
		case !selected[l.DeadSequence]:
			continue
		case bodies:
			if one.Body, err = d.letters.Body(ctx, l); errors.Is(err, dlq.ErrNotFound) {
				continue // replayed or discarded meanwhile
			}
			if errors.Is(err, outbox.ErrBodyMissing) || errors.Is(err, outbox.ErrBodyAltered) {
				one.Lost, err = err, nil
			}
		}
		if !yield(one, err) {
			return
		}
	}
}

// Import stores dead letters that were exported, all of one call with one entry. stored has a value for
// each that was looked at: false where the stream had it already. Two at most are in doubt when it fails.
func (d *Desk) Import(ctx context.Context, letters []dlq.Letter, from, reason string) (stored []bool, err error) {
	e := audit.Deed{Action: audit.Import, Count: len(letters), IDs: map[string][]string{}, Detail: "from " + from, Reason: reason}
	for _, l := range letters {
		source := l.Source
		if source == "" {
			source = outbox.NoSource
		}
		if e.IDs[source] = append(e.IDs[source], l.MessageID); len(e.IDs) == 1 {
			e.Source = source
		} else {
			e.Source = ""
		}
	}
	if err := d.record.Record(ctx, e); err != nil {
		return nil, err
	}
	for _, l := range letters {
		if ctx.Err() != nil {
			return stored, context.Cause(ctx)
		}
		is, err := d.letters.Restore(ctx, l)
		if err != nil {
			return stored, err
		}
		stored = append(stored, is)
	}
	return stored, nil
}
