package operate

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/order"
)

// Desk does what one operator asks for. Its user needs the rights of the operator in deploy/nats. It
// is safe for concurrent use. Each deed takes a reason, which may be empty: what the operator says
// of it, kept in the audit trail. The error of a deed that was not done because its entry could not
// be written wraps [audit.ErrNotKept], and that of one whose outcome could not be [audit.ErrOutcomeNotKept].
type Desk struct {
	js      jetstream.JetStream
	prefix  contract.Prefix
	letters *dlq.Store
	record  *audit.Recorder
	fault   func(point string) error // of tests: ends a step as a crash would; nil otherwise
}

// New makes no request. letters are those of the same prefix.
func New(js jetstream.JetStream, p contract.Prefix, letters *dlq.Store, record *audit.Recorder) (*Desk, error) {
	if js == nil || letters == nil || record == nil {
		return nil, errors.New("worker: operate.New needs a JetStream context, the dead letters and a recorder")
	}
	return &Desk{js: js, prefix: p, letters: letters, record: record}, nil
}

// Pause keeps all workers from pulling messages of a source, or of every source if it is "", for
// length, or until Resume if that is 0. The reason is shown wherever the pause is.
func (d *Desk) Pause(ctx context.Context, source string, length time.Duration, reason string) error {
	return d.pause(ctx, target{source: source}, length, reason)
}

// PauseDestination is Pause for messages to one destination alone; see [worker.Pauses.PauseDestination].
func (d *Desk) PauseDestination(ctx context.Context, source, destination string, length time.Duration, reason string) error {
	if err := worker.CheckDestination(destination); err != nil {
		return err
	}
	return d.pause(ctx, target{source, destination}, length, reason)
}

// Resume ends an operator's pause of a source, or the one of all sources if it is "". It reports
// whether there was one.
func (d *Desk) Resume(ctx context.Context, source, reason string) (was bool, err error) {
	return d.resume(ctx, target{source: source}, reason)
}

// ResumeDestination ends an operator's pause of a destination; see [worker.Pauses.ResumeDestination].
func (d *Desk) ResumeDestination(ctx context.Context, source, destination, reason string) (was bool, err error) {
	if err := worker.CheckDestination(destination); err != nil {
		return false, err
	}
	return d.resume(ctx, target{source, destination}, reason)
}

// target is what is paused: a source, or all, or a destination of it.
type target struct{ source, destination string }

func (t target) check() error {
	if t.source == "" {
		return nil
	}
	return contract.CheckSource(t.source)
}

func (t target) String() string {
	text := "all sources"
	if t.source != "" {
		text = "source " + t.source
	}
	if t.destination != "" {
		text = "destination " + t.destination + " of " + text
	}
	return text
}

func (d *Desk) pause(ctx context.Context, t target, length time.Duration, reason string) error {
	if err := t.check(); err != nil {
		return err
	}
	detail := t.String() + " until resume"
	if length > 0 {
		detail = t.String() + " for " + length.String()
	}
	deed := audit.Deed{Action: audit.Pause, Source: t.source, Detail: detail, Reason: reason}
	return d.record.Do(ctx, deed, func(ctx context.Context) error {
		if t.destination != "" {
			return d.pauses().PauseDestination(ctx, t.source, t.destination, length, reason)
		}
		return d.pauses().Pause(ctx, t.source, length, reason)
	})
}

func (d *Desk) resume(ctx context.Context, t target, reason string) (was bool, err error) {
	if err := t.check(); err != nil {
		return false, err
	}
	err = d.record.Do(ctx, audit.Deed{Action: audit.Resume, Source: t.source, Detail: t.String(), Reason: reason}, func(ctx context.Context) (err error) {
		if t.destination != "" {
			was, err = d.pauses().ResumeDestination(ctx, t.source, t.destination)
		} else {
			was, err = d.pauses().Resume(ctx, t.source)
		}
		return err
	})
	return was, err
}

func (d *Desk) pauses() *worker.Pauses { return worker.NewPauses(d.js, d.prefix, d.record.By()) }

// Hold asks for the head of an order to be settled held; see [order.Tokens.Hold].
func (d *Desk) Hold(ctx context.Context, source, id, reason string) (state order.State, err error) {
	if err := contract.CheckSource(source); err != nil {
		return order.State{}, err
	}
	deed := audit.Deed{Action: audit.Hold, Source: source, Count: 1, IDs: map[string][]string{source: {id}}, Reason: reason}
	err = d.record.Do(ctx, deed, func(ctx context.Context) (err error) {
		state, err = order.NewTokens(d.js, d.prefix).Hold(ctx, source, id)
		return err
	})
	return state, err
}

// Release lets an order token go on that waits behind dead letters; see [dlq.HeldTokens.Clear]. What
// is no token leaves no entry: it may be an order key.
func (d *Desk) Release(ctx context.Context, source, token, reason string) error {
	if err := errors.Join(contract.CheckSource(source), dlq.Query{OrderTokens: []string{token}}.Validate()); err != nil {
		return err
	}
	deed := audit.Deed{Action: audit.Release, Source: source, Detail: "order token " + token, Reason: reason}
	return d.record.Do(ctx, deed, func(ctx context.Context) error { return dlq.NewHeldTokens(d.js, d.prefix).Clear(ctx, source, token) })
}
