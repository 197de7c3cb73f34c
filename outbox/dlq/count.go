package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// maxRows bounds the rows of a count; what comes after them is counted under others, by reasons
// first, which is as many rows again at most.
const (
	maxRows = 10_000
	others  = "(others)"
)

// Grouping says what dead letters are counted by. The zero value is by source, settlement and reason.
type Grouping struct{ names []string }

// groupings are the names of what may be counted by.
var groupings = [...]string{"source", "settlement", "reason", "status", "kind", "model", "event"}

// ParseGrouping reads names with commas between them.
func ParseGrouping(text string) (Grouping, error) {
	var g Grouping
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); !slices.Contains(groupings[:], name) {
			return Grouping{}, fmt.Errorf("outbox: %q: use any of %s", wire.Clip(name), strings.Join(groupings[:], ", "))
		}
		if !slices.Contains(g.names, name) {
			g.names = append(g.names, name)
		}
	}
	return g, nil
}

// Names returns the names of what is counted by, in order.
func (g Grouping) Names() []string {
	if len(g.names) == 0 {
		return []string{"source", "settlement", "reason"}
	}
	return slices.Clone(g.names)
}

// Has reports whether name is among the names of g.
func (g Grouping) Has(name string) bool { return slices.Contains(g.Names(), name) }

// Count is the number of dead letters with the same values in all fields of the [Grouping]. The
// other fields are empty. The row that collects what exceeds the limit of rows has the text
// (others) and the Status -1 in the fields of the Grouping.
type Count struct {
	// Source is also empty when the subject of the messages named none.
	Source     string            `json:"source,omitempty"`
	Settlement outbox.Settlement `json:"settlement,omitempty"`
	// Reason is the safe text of the settlement.
	Reason string `json:"reason,omitempty"`
	// Status of the last answer; 0 when none came.
	Status    int         `json:"status,omitempty"`
	Kind      outbox.Kind `json:"kind,omitempty"`
	DataModel string      `json:"data_model,omitempty"`
	EventType string      `json:"event_type,omitempty"`
	Messages  int         `json:"messages"`
	// Oldest and Newest are the instants of the first and the last settlement.
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

// Value returns what a count has for a name of a [Grouping].
func (c Count) Value(name string) string {
	switch name {
	case "source":
		return c.Source
	case "settlement":
		return string(c.Settlement)
	case "reason":
		return c.Reason
	case "status":
		switch {
		case c.Status < 0:
			return others
		case c.Status == 0:
			return noStatus
		}
		return strconv.Itoa(c.Status)
	case "kind":
		return string(c.Kind)
	case "model":
		return c.DataModel
	case "event":
		return c.EventType
	}
	return ""
}

// keyOf is the count of what l is counted by, alone.
func (g Grouping) keyOf(l *Stored) (key Count) {
	for _, name := range g.names {
		switch name {
		case "source":
			key.Source = l.Source
		case "settlement":
			key.Settlement = l.Settlement
		case "reason":
			key.Reason = l.Error
		case "status":
			key.Status = l.Status
		case "kind":
			key.Kind = l.Kind()
		case "model":
			key.DataModel = l.DataModel
		case "event":
			key.EventType = l.EventType
		}
	}
	return key
}

// others is the count of what has no row of its own.
func (g Grouping) others() (key Count) {
	all := Stored{Letter: Letter{Source: others, Settlement: others, Error: others, Status: -1}, DataModel: others, EventType: others}
	if key = g.keyOf(&all); g.Has("kind") {
		key.Kind = others
	}
	return key
}

// counting is a count on its way.
type counting struct {
	by   Grouping
	rows map[Count]*Count
}

// add counts l.
func (c counting) add(l *Stored) {
	row := c.row(c.by.keyOf(l))
	if row.Messages == 0 {
		row.Oldest, row.Newest = l.At, l.At
	}
	row.Messages++
	if l.At.Before(row.Oldest) {
		row.Oldest = l.At
	}
	if l.At.After(row.Newest) {
		row.Newest = l.At
	}
}

// row is that of a key, or the one that stands for it.
func (c counting) row(key Count) *Count {
	room := maxRows
	if c.rows[key] == nil && len(c.rows) >= room && c.by.Has("reason") {
		key.Reason, room = others, 2*maxRows
	}
	if c.rows[key] == nil && len(c.rows) >= room {
		key = c.by.others()
	}
	row := c.rows[key]
	if row == nil {
		one := key
		row = &one
		c.rows[key] = row
	}
	return row
}

// sorted are the rows, the most frequent first.
func (c counting) sorted() (counts []Count) {
	for _, row := range c.rows {
		counts = append(counts, *row)
	}
	slices.SortFunc(counts, func(a, b Count) int {
		n := cmp.Compare(b.Messages, a.Messages)
		for _, name := range c.by.names {
			n = cmp.Or(n, cmp.Compare(a.Value(name), b.Value(name)))
		}
		return n
	})
	return counts
}

// Counts counts the dead letters that q selects, the most frequent first. Beyond 10,000 rows the
// rest is counted together. unreadable is the number of messages in the stream that are no dead
// letters. It reads the whole stream, and bodies only if they are needed to count or select.
func (d *Store) Counts(ctx context.Context, q Query, by Grouping) (counts []Count, unreadable int, err error) {
	by.names = by.Names()
	q.Models = by.Has("model") || by.Has("event")
	all := counting{by: by, rows: map[Count]*Count{}}
	for l, err := range d.List(ctx, q) {
		if errors.As(err, new(*UnreadableError)) {
			unreadable++
			continue
		}
		if err != nil {
			return nil, unreadable, err
		}
		all.add(&l)
	}
	return all.sorted(), unreadable, nil
}
