package dlq

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Query selects dead letters. A field that is empty selects all; the
// fields are joined by and, the values of one field by or.
type Query struct {
	// Sources by name; outbox.NoSource stands for dead letters whose subject named none.
	Sources []string
	// Settlements, all but Delivered.
	Settlements []outbox.Settlement
	// IDs are message ids. One may be in use by several sources: name the source too.
	IDs []string
	// DataModels and EventTypes of the body's Meta, as [outbox.SafeName] shows them: NoName
	// stands for all that are not shown. Bodies in the object store are read only
	// for these.
	DataModels, EventTypes []string
	// Since and Until bound the instant of the settlement: Since <= At < Until.
	Since, Until time.Time
	// Models fills in DataModel and EventType of each dead letter, except those
	// whose body is in the object store. It takes reading all bodies.
	Models bool
}

// Validate reports every value that no dead letter can have.
func (q Query) Validate() error {
	var errs []error
	for _, source := range q.Sources {
		if source != outbox.NoSource {
			errs = append(errs, outbox.CheckSource(source))
		}
	}
	for _, s := range q.Settlements {
		if !s.Valid() || s == outbox.Delivered {
			errs = append(errs, fmt.Errorf("outbox: settlement %q: use rejected, expired, exhausted, held or poison", wire.Clip(string(s))))
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		errs = append(errs, errors.New("outbox: Until is not after Since: nothing lies between"))
	}
	return errors.Join(errs...)
}

// subjects are the narrowest filters of the stream that cover q. Without any
// they cover also what no worker wrote.
func (q Query) subjects(p outbox.Prefix) []string {
	sources, settlements := q.Sources, q.Settlements
	if len(sources)+len(settlements) == 0 {
		return []string{p.String() + ".dlq.>"}
	}
	if len(sources) == 0 {
		sources = []string{"*"}
	}
	if len(settlements) == 0 {
		settlements = []outbox.Settlement{"*"}
	}
	var all []string
	for _, source := range sources {
		for _, s := range settlements {
			all = append(all, p.DeadSubject(source, s, "*"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// matches reports whether q selects l, but for the body.
func (q Query) matches(l *Stored) bool {
	source := l.Source
	if source == "" {
		source = outbox.NoSource
	}
	return within(q.Sources, source) && within(q.Settlements, l.Settlement) && within(q.IDs, l.MessageID) &&
		(q.Since.IsZero() || !l.At.Before(q.Since)) && (q.Until.IsZero() || l.At.Before(q.Until))
}

// replayOf is the one of IDs of which l is a replay, if q selects l but for its own id.
func (q Query) replayOf(l *Stored) (id string, ok bool) {
	if len(q.IDs) == 0 {
		return "", false
	}
	id = l.replayOf()
	ok = id != "" && slices.Contains(q.IDs, id)
	q.IDs = nil
	return id, ok && q.matches(l) && (!q.wantsModel() || q.matchesModel(l))
}

// readsBodies reports whether bodies must be looked at.
func (q Query) readsBodies() bool { return q.Models || q.wantsModel() }

func (q Query) wantsModel() bool { return len(q.DataModels) > 0 || len(q.EventTypes) > 0 }

func (q Query) matchesModel(l *Stored) bool {
	return within(q.DataModels, l.DataModel) && within(q.EventTypes, l.EventType)
}

func within[T comparable](some []T, v T) bool { return len(some) == 0 || slices.Contains(some, v) }
