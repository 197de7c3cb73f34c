package dlq

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// PageOptions selects a page of dead letters. The zero value selects the newest 100.
type PageOptions struct {
	// Limit is how many. 0 means 100; at most 10,000.
	Limit int
	// Before is the cursor: the page has only those stored before this place in the dead-letter
	// stream. 0 means from the newest on.
	Before uint64
	// Scan bounds how many dead letters are looked at for those that the query selects; what was
	// found by then is a page too. 0 means no bound.
	Scan int
}

const (
	defaultPage = 100
	maxPage     = 10_000
	// pageBlock is how many places of the stream are looked at first, or Limit if that is more, growing
	// by pageGrowth each time: there is no way to read a stream backwards.
	pageBlock  = 256
	pageGrowth = 4
)

// Validate reports every field that cannot work.
func (o PageOptions) Validate() error {
	if o.Limit < 0 || o.Limit > maxPage || o.Scan < 0 {
		return fmt.Errorf("outbox: a page of %d dead letters, of %d: use 1 to %d", o.Limit, o.Scan, maxPage)
	}
	return nil
}

// Page is a run of the dead letters that a query selects, the newest first.
type Page struct {
	Letters []Stored
	// Next is the cursor of the page that follows, for Before; 0 when there is none.
	Next uint64
	// Scanned is how many dead letters were looked at.
	Scanned int
	// Unreadable are the messages among them that no worker wrote.
	Unreadable []*UnreadableError
}

// Page returns a run of the dead letters that q selects, the newest first. It reads the stream from
// its end, without bodies, in growing blocks. The number of dead letters does not matter for the
// newest ones. For rare ones, every dead letter that the sources and settlements of q select is read
// once, in a few requests. It keeps no more than the page. The Bodies are nil; with q.Models those
// of the page are read, one by one.
func (d *Store) Page(ctx context.Context, q Query, o PageOptions) (Page, error) {
	if err := errors.Join(d.check(q), o.Validate()); err != nil {
		return Page{}, err
	}
	if o.Limit == 0 {
		o.Limit = defaultPage
	}
	state, err := d.deadState(ctx)
	if err != nil {
		return Page{}, err
	}
	r := paging{letters: d, query: q.indexed(), options: o}
	r.query.Models = false
	high := state.LastSeq
	if o.Before > 0 {
		high = min(high, o.Before-1)
	}
	block := uint64(max(pageBlock, o.Limit))
	for state.Msgs > 0 && high >= state.FirstSeq && len(r.page.Letters) < o.Limit && (o.Scan == 0 || r.page.Scanned < o.Scan) {
		low := state.FirstSeq
		if high-low >= block {
			low = high - block + 1
		}
		if err := r.read(ctx, low, high); err != nil {
			return Page{}, err
		}
		high, block = r.page.Next-1, block*pageGrowth
	}
	if r.page.Next <= state.FirstSeq {
		r.page.Next = 0
	}
	if q.Models {
		err = r.models(ctx)
	}
	return r.page, err
}

// paging is one page on its way.
type paging struct {
	letters *Store
	query   Query
	options PageOptions
	page    Page
}

// read adds the newest of a block to the page, and sets its cursor.
func (r *paging) read(ctx context.Context, low, high uint64) error {
	room := r.options.Limit - len(r.page.Letters)
	var found []Stored // the last ones of the block, no more than twice the room
	r.page.Next = low
	err := r.letters.listBetween(ctx, r.query, r.query.subjects(r.letters.config.Prefix), low, high, func(l Stored, matches bool, err error) bool {
		r.page.Scanned++
		var unreadable *UnreadableError
		if errors.As(err, &unreadable) {
			r.page.Unreadable = append(r.page.Unreadable, unreadable)
		}
		if !matches || err != nil {
			return true
		}
		if found = append(found, l); len(found) >= 2*room+pageBlock {
			found = slices.Clone(found[len(found)-room:])
		}
		return true
	})
	if err != nil {
		return err
	}
	if len(found) > room {
		found = found[len(found)-room:]
	}
	if len(found) == room {
		r.page.Next = found[0].DeadSequence
	}
	slices.Reverse(found)
	r.page.Letters = append(r.page.Letters, found...)
	return nil
}

// models reads the data models of the page.
func (r *paging) models(ctx context.Context) error {
	for i := range r.page.Letters {
		l := &r.page.Letters[i]
		if l.DataModel != "" || l.Object() != "" || l.Size == 0 {
			continue
		}
		whole, err := r.letters.read(ctx, l.DeadSequence)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return err
		default:
			r.letters.readEvent(l, whole.Body)
		}
	}
	return nil
}
