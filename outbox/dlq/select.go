package dlq

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Selection is a list of dead letters to be replayed or discarded: those that
// were there when it was made. It holds no headers and bodies, about 150 bytes
// for each.
type Selection struct {
	entries []entry
	// left are the positions of the dead letters of ordered lanes that were not selected,
	// sorted, by their order: a place without a position.
	left map[place][]uint64
	// found are the messages that were asked for and are there.
	found map[messageKey]bool
	query Query
	// Unreadable counts the messages of the stream that are no dead letters.
	Unreadable int
}

// messageKey names a message: its id is unique only within its source.
type messageKey struct{ source, id string }

// entry finds one dead letter again.
type entry struct {
	sequence uint64 // in the dead-letter stream
	source   string
	id       string // of the message
	token    string // of its subject; see Prefix.DeadToken
	place    place
}

// place is where a message stands in the order of its token. Out of any order
// the token is empty.
type place struct {
	source, token string
	position      uint64
}

// order is that of all messages of the token.
func (p place) order() place { return place{source: p.source, token: p.token} }

// Select finds the dead letters that q selects, in the order in which they are to be sent
// again: the order in which the work queue first took the messages. If a message of a
// source has no dead letter any more, its id stands for those of its replays. An id may be
// in use by several sources; see [Selection.Shared].
func (d *Store) Select(ctx context.Context, q Query) (Selection, error) {
	if err := d.check(q); err != nil {
		return Selection{}, err
	}
	q = q.indexed()
	q.Models = false // nobody sees them
	s := Selection{query: q, left: map[place][]uint64{}, found: map[messageKey]bool{}}
	// What is left out matters for what is taken, within a source.
	wide := Query{Sources: q.Sources}
	replays := map[messageKey][]entry{}
	p := d.config.Prefix
	err := d.list(ctx, q, wide.subjects(p), func(l Stored, matches bool, unreadable error) bool {
		if unreadable != nil {
			s.Unreadable++
			return true
		}
		e := entry{sequence: l.DeadSequence, source: l.Source, id: l.MessageID, token: p.DeadToken(l.MessageID, l.Sequence), place: place{position: l.Position()}}
		if token, ordered := l.orderToken(p); ordered {
			e.place.source, e.place.token = l.Source, token
		}
		if matches && len(q.IDs) > 0 {
			s.found[messageKey{l.Source, l.MessageID}] = true
		}
		of, isReplay := q.replayOf(&l)
		switch {
		case matches:
			s.entries = append(s.entries, e)
		case isReplay:
			key := messageKey{l.Source, of}
			replays[key] = append(replays[key], e)
		default:
			s.leave(e)
		}
		return true
	})
	if err != nil {
		return Selection{}, err
	}
	s.addReplays(replays)
	for _, positions := range s.left {
		slices.Sort(positions)
	}
	slices.SortStableFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.place.position, b.place.position) })
	return s, nil
}

// addReplays selects the replays of messages that have no dead letter of their own.
func (s *Selection) addReplays(replays map[messageKey][]entry) {
	for of, entries := range replays {
		if !s.found[of] {
			s.found[of] = true
			s.entries = append(s.entries, entries...)
			continue
		}
		for _, e := range entries {
			s.leave(e)
		}
	}
}

// leave notes a dead letter that is not selected.
func (s *Selection) leave(e entry) {
	if e.place.token != "" {
		s.left[e.place.order()] = append(s.left[e.place.order()], e.place.position)
	}
}

// Len returns the number of dead letters.
func (s Selection) Len() int { return len(s.entries) }

// Query returns the query that made s.
func (s Selection) Query() Query { return s.query }

// IDs returns the message ids of the dead letters, by source; [contract.NoSource] stands for
// none.
func (s Selection) IDs() map[string][]string {
	ids := map[string][]string{}
	for _, e := range s.entries {
		source := cmp.Or(e.source, contract.NoSource)
		ids[source] = append(ids[source], e.id)
	}
	return ids
}

// Sequences are the places of the dead letters in the dead-letter stream.
func (s Selection) Sequences() map[uint64]bool {
	all := make(map[uint64]bool, len(s.entries))
	for _, e := range s.entries {
		all[e.sequence] = true
	}
	return all
}

// Missing returns those of the message ids, in the query that made s, without a dead
// letter of any source.
func (s Selection) Missing(ids []string) []string {
	there := make(map[string]bool, len(s.found))
	for key := range s.found {
		there[key.id] = true
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return there[id] })
}

// Shared returns an error for the first of the message ids, in the query that made s, of which
// several sources have a dead letter; nil if there is none.
func (s Selection) Shared(ids []string) *SharedIDError {
	sources := make(map[string]int, len(s.found))
	for key := range s.found {
		sources[key.id]++
	}
	for _, id := range ids {
		if sources[id] > 1 {
			return &SharedIDError{ID: id, Sources: s.sourcesOf(id)}
		}
	}
	return nil
}

// sourcesOf are the sources that have a dead letter of a message id in the query that made
// s, sorted; [contract.NoSource] stands for none.
func (s Selection) sourcesOf(id string) []string {
	var sources []string
	for key := range s.found {
		if key.id == id {
			sources = append(sources, cmp.Or(key.source, contract.NoSource))
		}
	}
	slices.Sort(sources)
	return sources
}

// Split returns the first n dead letters and the rest.
func (s Selection) Split(n int) (head, rest Selection) {
	n = min(max(n, 0), len(s.entries))
	head, rest = s, s
	head.entries, rest.entries = s.entries[:n:n], s.entries[n:]
	return head, rest
}

// window returns the next entries that may be worked on at the same time, at most
// n: no two of one order token.
func window(entries []entry, n int) []entry {
	for i := range min(n, len(entries)) {
		if t := entries[i].place; t.token != "" && slices.ContainsFunc(entries[:i], func(e entry) bool {
			return e.place.source == t.source && e.place.token == t.token
		}) {
			return entries[:i]
		}
	}
	return entries[:min(n, len(entries))]
}

// blocked reports whether a dead letter that was not selected comes first in the
// order of this one's token, and still holds it.
func (d *Store) blocked(ctx context.Context, s Selection, at place) (bool, error) {
	left := s.left[at.order()]
	if len(left) == 0 || left[0] >= at.position {
		return false, nil
	}
	held, err := d.held.Load(ctx, at.source, at.token)
	if err != nil {
		return false, err
	}
	_, blocked := held.firstOf(left, at.position)
	return blocked, nil
}

var errBehind = errors.New("it is held behind an earlier dead letter of its order token that is not part of this run; replay or discard that one first, or both at once")
