package topology

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// apply makes the changes that can be made and returns those that were made. A failure does
// not keep it from the others.
func apply(ctx context.Context, js jetstream.JetStream, steps []step) ([]Change, error) {
	written := make([]bool, len(steps))
	err := each(len(steps), func(i int) error {
		s := steps[i]
		if s.write == nil {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
		defer cancel()
		err := s.write(ctx, js)
		written[i] = err == nil
		return jsapi.Explain(err, js, s.verb()+" "+s.kind+" "+s.name)
	})
	var made []Change
	for i, s := range steps {
		if written[i] {
			made = append(made, s.made()...)
		}
	}
	return made, err
}

func (s *step) verb() string {
	if s.changes[0].Action == Create {
		return string(Create)
	}
	return string(Update)
}

func (s *step) made() []Change {
	var made []Change
	for _, c := range s.changes {
		if c.Action == Create || c.Action == Update {
			made = append(made, c)
		}
	}
	return made
}

// remaining returns what no write changes.
func remaining(steps []step) []Change {
	var rest []Change
	for _, s := range steps {
		for _, c := range s.changes {
			if c.Action == Refuse {
				rest = append(rest, c)
			}
		}
	}
	return rest
}

// conflicted reports whether another process may have created or changed the
// thing first, or is about to, so that looking again helps.
func conflicted(err error) bool {
	if jsapi.Unanswered(err) {
		return !errors.Is(err, jsapi.ErrPermission)
	}
	switch jsapi.Code(err) {
	case jsapi.CodeStreamName, jsapi.CodeStreamCreate:
		return true
	}
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
}
