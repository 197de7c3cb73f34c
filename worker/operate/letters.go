package operate

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
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
	run := d.letters.Discard(ctx, s, o)
	if s.Len() == 0 || o.DryRun {
		return run
	}
	return recorded(ctx, d.record, deed(s, audit.Discard, reason), handled, run, nil)
}

// handled is what became of a dead letter.
func handled(h dlq.Handled, err error) string {
	if err != nil {
		return ""
	}
	return string(h.Outcome)
}

// Reveal returns the body of a dead letter, as [dlq.Store.Body] does. Body and headers are patient
// data: show nothing of either before it returned.
func (d *Desk) Reveal(ctx context.Context, l dlq.Stored, reason string) (body []byte, err error) {
	err = d.record.Do(ctx, about(l, audit.Reveal, reason), func(ctx context.Context) (err error) {
		body, err = d.letters.Body(ctx, l)
		return err
	})
	return body, err
}

// about is a deed about one dead letter.
func about(l dlq.Stored, action audit.Action, reason string) audit.Deed {
	source := l.Source
	if source == "" {
		source = contract.NoSource
	}
	return audit.Deed{Action: action, Source: source, Count: 1, IDs: map[string][]string{source: {l.MessageID}}, Reason: reason}
}

// Edit sends a dead letter again with another body; see [dlq.Store.Edit]. A dry run leaves no entry.
func (d *Desk) Edit(ctx context.Context, l dlq.Stored, body []byte, o dlq.ReplayOptions, reason string) (dlq.Handled, error) {
	if o.DryRun {
		return d.letters.Edit(ctx, l, body, o)
	}
	e := about(l, audit.Edit, reason)
	id, _ := l.ReplayID()
	e.Detail = fmt.Sprintf("sent as %s; %d bytes, was %d", id, len(body), l.Size)
	begun, err := d.record.Begin(ctx, e)
	if err != nil {
		return dlq.Handled{}, err
	}
	h, err := d.letters.Edit(ctx, l, body, o)
	result := audit.Result{Err: err}
	if what := handled(h, err); what != "" {
		result.Counts = map[string]int{what: 1}
	}
	if kept := begun.End(ctx, result); kept != nil {
		err = errors.Join(err, kept)
	}
	return h, err
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
		if err != nil {
			yield(Exported{}, err)
			return
		}
		run := func(yield func(Exported, error) bool) { d.export(ctx, q, s, bodies, yield) }
		if s.Len() == 0 {
			run(yield)
			return
		}
		e := deed(s, audit.Export, reason)
		if e.Detail = "without bodies"; bodies {
			e.Detail = "with bodies"
		}
		recorded(ctx, d.record, e, exported, run, nil)(yield)
	}
}

// exported is what became of a dead letter in an export.
func exported(one Exported, err error) string {
	switch {
	case errors.As(err, new(*dlq.UnreadableError)):
		return "unreadable"
	case err != nil:
		return ""
	case one.Lost != nil:
		return "exported without the body that is lost"
	}
	return "exported"
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
			if err = d.open(ctx, &one); errors.Is(err, dlq.ErrNotFound) {
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

// open completes a dead letter that leaves the system with its body, and opens it. A sealed one stays so where there is no ring
// of keys, and where it does not open.
func (d *Desk) open(ctx context.Context, one *Exported) (err error) {
	if one.Sealed() {
		h, err := d.letters.Header(ctx, one.Stored)
		if err == nil {
			one.Body, err = d.letters.Body(ctx, one.Stored)
		}
		switch {
		case err == nil:
			one.Header = h
		case !d.letters.Opens(), seal.Decided(err), errors.As(err, new(*outbox.ContractError)):
			one.Body, err = d.letters.Kept(ctx, one.Stored)
		}
		return err
	}
	one.Body, err = d.letters.Body(ctx, one.Stored)
	return err
}

// Import stores dead letters that were exported, all of one call with one entry. stored has a value for
// each that was looked at: false where the stream had it already. Two at most are in doubt when it fails.
func (d *Desk) Import(ctx context.Context, letters []dlq.Letter, from, reason string) (stored []bool, err error) {
	e := audit.Deed{Action: audit.Import, Count: len(letters), IDs: map[string][]string{}, Detail: "from " + from, Reason: reason}
	for _, l := range letters {
		source := l.Source
		if source == "" {
			source = contract.NoSource
		}
		if e.IDs[source] = append(e.IDs[source], l.MessageID); len(e.IDs) == 1 {
			e.Source = source
		} else {
			e.Source = ""
		}
	}
	begun, err := d.record.Begin(ctx, e)
	if err != nil {
		return nil, err
	}
	result := audit.Result{Counts: map[string]int{}}
	for _, l := range letters {
		if result.Err = context.Cause(ctx); result.Err != nil {
			break
		}
		var is bool
		if is, result.Err = d.letters.Restore(ctx, l); result.Err != nil {
			break
		}
		if stored = append(stored, is); is {
			result.Counts["imported"]++
		} else {
			result.Counts["there already"]++
		}
	}
	if kept := begun.End(ctx, result); kept != nil {
		return stored, errors.Join(result.Err, kept)
	}
	return stored, result.Err
}
