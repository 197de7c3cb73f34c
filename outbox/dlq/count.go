package dlq

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// maxReasons bounds the rows of a count; what comes after them is counted under
// otherReasons.
const (
	maxReasons   = 1000
	otherReasons = "(other reasons)"
)

// Count is how many dead letters have the same source, settlement and
// reason.
type Count struct {
	// Source is empty when the subject of the messages named none.
	Source     string            `json:"source,omitempty"`
	Settlement outbox.Settlement `json:"settlement"`
	// Reason is the safe text of the settlement.
	Reason   string `json:"reason,omitempty"`
	Messages int    `json:"messages"`
	// Oldest and Newest are the instants of the first and the last settlement.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

// Counts counts the dead letters that q selects by source, settlement and
// reason, the most frequent first. unreadable is the number of messages in the
// stream that are no dead letters. It reads through the stream.
func (d *Store) Counts(ctx context.Context, q Query) (counts []Count, unreadable int, err error) {
	type row struct {
		source, reason string
		settlement     outbox.Settlement
	}
	rows := map[row]*Count{}
	for l, err := range d.List(ctx, q) {
		if errors.As(err, new(*UnreadableError)) {
			unreadable++
			continue
		}
		if err != nil {
			return nil, unreadable, err
		}
		key := row{l.Source, l.Error, l.Settlement}
		c := rows[key]
		if c == nil && len(rows) >= maxReasons {
			key.reason = otherReasons
			c = rows[key]
		}
		if c == nil {
			c = &Count{Source: l.Source, Settlement: l.Settlement, Reason: key.reason, Oldest: l.At, Newest: l.At}
			rows[key] = c
		}
		c.Messages++
		if l.At.Before(c.Oldest) {
			c.Oldest = l.At
		}
		if l.At.After(c.Newest) {
			c.Newest = l.At
		}
	}
	for _, c := range rows {
		counts = append(counts, *c)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Settlement, b.Settlement), cmp.Compare(a.Reason, b.Reason))
	})
	return counts, unreadable, nil
}
