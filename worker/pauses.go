package worker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/servertime"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
)

// Pauses reads and changes the pauses that all workers of a prefix share: sources and destinations that operators
// have paused, and destinations, sources, hosts and egress groups that do not work at present.
// Every worker sees a change within a second. It is not safe for concurrent use; use one value per
// goroutine.
type Pauses struct {
	store *breaker.Store
	by    string
}

// NewPauses returns the pauses of a prefix. It makes no request. by names who makes changes, as
// "operator@host".
func NewPauses(js jetstream.JetStream, prefix contract.Prefix, by string) *Pauses {
	return &Pauses{store: breaker.NewStore(js, prefix.StateBucket(), servertime.New(nil)), by: by}
}

// Paused is one pause.
type Paused struct {
	// Scope is "source:<name>", "all", "dest:<source>:<destination>" or, of every source,
	// "dest:*:<destination>" for an operator's pause, else what does not work: "source:<name>",
	// "dest:<source>:<destination>", "host:<host>", "group:<name>", or "key:<name>", which one
	// worker alone pauses.
	Scope string `json:"scope"`
	// Left is the time until the pause ends or the scope is probed next; −1 means that it lasts
	// until somebody ends it, 0 that it is being probed.
	Left time.Duration `json:"left_ns"`
	// Since is when the first failure was seen; zero for an operator's pause.
	Since time.Time `json:"since,omitzero"`
	// Reason is a safe text that says what the messages met, or why an operator made the pause.
	Reason string `json:"reason,omitempty"`
	// Refused says that the far side refuses the source: somebody has to correct its Source ID or key.
	Refused bool `json:"refused,omitempty"`
	// Operator reports that a person made the pause. By names that person, or the worker.
	Operator bool   `json:"operator"`
	By       string `json:"by,omitempty"`
	// Failures counts how often in a row the scope has been found not to work.
	Failures int `json:"failures,omitempty"`
}

// Pause keeps all workers from pulling messages of a source, or of every source if it is "", for
// d, or until Resume if d is 0. What is in flight goes on. reason tells other operators why; it is
// shown wherever the pause is.
func (p *Pauses) Pause(ctx context.Context, source string, d time.Duration, reason string) error {
	scope, err := operatorScope(source, "")
	if err != nil {
		return err
	}
	return p.store.Pause(ctx, scope, d, p.by, reason)
}

// PauseDestination is Pause for the messages of a source to one destination only, or those of every
// source to it if source is "". The name of the destination is the one in its scope, in upper or lower
// case; see [Source.MessageScopes]. Other messages go on, except those that wait behind a paused message
// of the same order token. Once the pause has ended, messages that were held back are delivered again
// within half a minute, or within five minutes if there are thousands.
func (p *Pauses) PauseDestination(ctx context.Context, source, destination string, d time.Duration, reason string) error {
	scope, err := operatorScope(source, destination)
	if err = errors.Join(err, CheckDestination(destination)); err != nil {
		return err
	}
	return p.store.Pause(ctx, scope, d, p.by, reason)
}

// Resume ends an operator's pause of a source, or the one of all sources if it is "". It reports
// whether there was one. A source stays paused while all are, and pauses of its destinations stay.
func (p *Pauses) Resume(ctx context.Context, source string) (bool, error) {
	scope, err := operatorScope(source, "")
	if err != nil {
		return false, err
	}
	return p.store.Resume(ctx, scope, p.by)
}

// ResumeDestination ends an operator's pause of a destination of a source, or the one of all sources to
// it if source is "". It reports whether there was one.
func (p *Pauses) ResumeDestination(ctx context.Context, source, destination string) (bool, error) {
	scope, err := operatorScope(source, destination)
	if err = errors.Join(err, CheckDestination(destination)); err != nil {
		return false, err
	}
	return p.store.Resume(ctx, scope, p.by)
}

// operatorScope is that of a pause. What is no name of a source is none that means all of them, or a
// destination of one.
func operatorScope(source, destination string) (string, error) {
	if source != "" {
		if err := contract.CheckSource(source); err != nil {
			return "", err
		}
	}
	return breaker.OperatorScope(source, destination), nil
}

// mostDestination bounds the name of a destination in bytes.
const mostDestination = 100

// CheckDestination returns an error unless destination can be the name of one: 1 to 100 letters,
// digits, dots, dashes and underscores. The error does not quote the argument, which may hold
// anything.
func CheckDestination(destination string) error {
	if n := len(destination); n == 0 || n > mostDestination || strings.ContainsFunc(destination, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-", r)
	}) {
		return errors.New("worker: that is no name of a destination: give the slug of a FHIR path or the id of a destination, 1 to 100 letters, digits, dots, dashes and underscores")
	}
	return nil
}

// Target splits the scope of an operator's pause into its source, "" for all, and its destination,
// "" if everything of the source is paused. ok is false for a scope of another kind.
func (p Paused) Target() (source, destination string, ok bool) {
	kind, rest, _ := strings.Cut(p.Scope, ":")
	switch source, destination, _ = strings.Cut(rest, ":"); {
	case !p.Operator:
		return "", "", false
	case p.Scope == "all":
		return "", "", true
	case kind == "dest" && source == "*":
		return "", destination, true
	}
	return source, destination, kind == "source" || kind == "dest"
}

// Holds reports whether p is an operator's pause of a destination and applies to the source.
func (p Paused) Holds(source string) bool {
	whose, destination, ok := p.Target()
	return ok && destination != "" && (whose == "" || whose == source)
}

// List returns all pauses, in the order of their scopes.
func (p *Pauses) List(ctx context.Context) ([]Paused, error) {
	entries, err := p.store.List(ctx)
	if err != nil {
		return nil, err
	}
	return pausedOf(entries), nil
}

func pausedOf(entries []breaker.Entry) []Paused {
	list := make([]Paused, 0, len(entries))
	for _, e := range entries {
		p := Paused{Scope: breaker.Shown(e.Scope), Left: e.Left, Since: e.Since, Reason: e.Reason, Refused: e.Refused, Operator: e.Operator, By: e.By, Failures: e.Failures}
		if e.Operator {
			p.Since = time.Time{}
		}
		list = append(list, p)
	}
	return list
}
