package lint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

var (
	// ErrNoSchema is matched when the directory has no schema for the event of a message.
	ErrNoSchema = errors.New("lint: there is no schema for it")
	// ErrUnchecked is matched when a message could not be judged: its schema cannot be used, or one
	// of the two is larger or deeper than it is made for.
	ErrUnchecked = errors.New("lint: it was not checked")
)

// Linter checks messages. It is safe for concurrent use.
type Linter struct {
	dir     string
	schemas map[event]*schema
	most    int64 // that a check may cost
}

// New looks for schemas in a directory. The error says that there are none, or two for one event.
// It reads no schema yet.
func New(dir string) (*Linter, error) {
	found, err := find(dir)
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	return &Linter{dir: dir, schemas: found, most: maxCost}, nil
}

// Events returns the number of events that have a schema.
func (l *Linter) Events() int { return len(l.schemas) }

// Check compares a message with the schema of its event. A message of another kind than data-model
// passes. Check serves as Lint of a publisher. When ctx ends, the error is why.
//
// Errors: *[Error] for a message that does not fit, one that matches [ErrNoSchema] or [ErrUnchecked];
// no text of theirs holds a value of the message.
func (l *Linter) Check(ctx context.Context, m outbox.Message) (err error) {
	if m.Kind != outbox.KindDataModel && m.Kind != "" {
		return nil
	}
	defer func() { // the library behind this checks nothing of what it takes for granted
		if p := recover(); p != nil {
			err = unchecked("the check panicked with a %T", p)
		}
	}()
	doc, err := read(m.Body)
	if err != nil {
		return err
	}
	model, name := eventOf(doc)
	if model == "" || name == "" {
		return fmt.Errorf("%w: Meta.DataModel or Meta.EventType is missing, or no text", ErrNoSchema)
	}
	s := l.schemas[event{normal(model), normal(name)}]
	if s == nil {
		return fmt.Errorf("%w: data model %s, event %s", ErrNoSchema, contract.SafeName(model), contract.SafeName(name))
	}
	p, err := s.program(ctx, l.dir)
	if err != nil {
		return err
	}
	defer s.release(p)
	failed, err := p.validate(ctx, doc, l.most)
	if failed == nil {
		return err
	}
	return newError(failed, doc, p.names)
}

// Warn logs what [Linter.Check] finds as a warning, with the message's id and source, and refuses
// nothing. It serves as Lint of a publisher. A nil logger discards.
func (l *Linter) Warn(log *slog.Logger) func(context.Context, outbox.Message) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return func(ctx context.Context, m outbox.Message) error {
		if err := l.Check(ctx, m); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "a message does not fit the schema of its event, or was not checked; it goes all the same", "source", m.Source, "message", m.ID, "error", err)
		}
		return nil
	}
}

func unchecked(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnchecked, fmt.Sprintf(format, args...))
}

// read decodes a message that is not too large to be judged.
func read(body []byte) (any, error) {
	body = contract.WithoutMark(body)
	if values, depth := measure(body); values > maxValues || depth > maxDepth {
		return nil, unchecked("the message has more than %d values, or is nested deeper than %d", maxValues, maxDepth)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, unchecked("the message is not one JSON text") // the error quotes it
	}
	if !plain(doc) {
		return nil, unchecked("the message has a number of more digits than it is made for")
	}
	return doc, nil
}

// eventOf is the data model and the event of a message; empty where they are missing.
func eventOf(doc any) (model, name string) {
	top, _ := doc.(map[string]any)
	meta, _ := top["Meta"].(map[string]any)
	model, _ = meta["DataModel"].(string)
	name, _ = meta["EventType"].(string)
	return model, name
}
