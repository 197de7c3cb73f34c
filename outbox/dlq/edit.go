package dlq

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Edit sends a dead letter again with another body, as [Store.Replay] does with its own: the message
// keeps its headers, its place in the order of its token and the id of the first message, by which
// its reply is found; [contract.HeaderEdited] says that it was edited. The dead letter is deleted when
// the message is confirmed, and its body with it.
//
// A run that is killed before the message is stored leaves the dead letter as it was. The Outcome is
// [AlreadyReplayed] if the message had been stored before: by an interrupted run, or by a replay with
// the original body.
func (d *Store) Edit(ctx context.Context, l Stored, body []byte, o ReplayOptions) (Handled, error) {
	if len(body) == 0 {
		return Handled{}, errors.New("outbox: an edited body is empty: discard the dead letter instead")
	}
	if err := o.Validate(); err != nil {
		return Handled{}, err
	}
	s, err := d.selectOne(ctx, l)
	if err != nil {
		return Handled{}, err
	}
	if s.Len() == 0 {
		return Handled{DeadSequence: l.DeadSequence, Outcome: Gone}, nil
	}
	q, err := d.queueState(ctx)
	if err != nil {
		return Handled{}, err
	}
	r := replaying{letters: d, selection: s, options: o, queue: q, entry: s.entries[0], edited: body}
	return r.run(ctx)
}

// selectOne selects a dead letter that was listed; none when it is gone.
func (d *Store) selectOne(ctx context.Context, l Stored) (Selection, error) {
	source := l.Source
	if source == "" {
		source = contract.NoSource
	}
	s, err := d.Select(ctx, Query{Sources: []string{source}, IDs: []string{l.MessageID}})
	if err != nil {
		return s, err
	}
	s.entries = slices.DeleteFunc(s.entries, func(e entry) bool {
		other := e.sequence != l.DeadSequence
		if other {
			s.leave(e)
		}
		return other
	})
	for _, positions := range s.left {
		slices.Sort(positions)
	}
	return s, nil
}

// withBody is l with another body, which is its own and no object's.
func (l Stored) withBody(body []byte) Stored {
	edits := l.Edits()
	l = l.unbound()
	l.Header[contract.HeaderEdited] = []string{strconv.Itoa(edits + 1)}
	l.Body, l.Size = body, len(body)
	return l
}

// Edits returns how often an operator has replaced the body of the message.
func (d Letter) Edits() int {
	n, err := wire.Count(d.Header, contract.HeaderEdited, wire.MaxReplays)
	if err != nil {
		return 0 // not a replay's
	}
	return n
}

// unbound is l without the object that held its body, and with headers of its own.
func (l Stored) unbound() Stored {
	l.Header = maps.Clone(l.Header)
	if l.Header == nil {
		l.Header = nats.Header{}
	}
	delete(l.Header, contract.HeaderBodyObject)
	return l
}
