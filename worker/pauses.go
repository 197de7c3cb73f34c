package worker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/servertime"
)

// Pauses are what all workers of a bucket share: sources that operators have paused, and
// the hosts and egress groups that do not work at present. Every worker sees a change
// within a second. It is safe for concurrent use by different values of it, not of one.
type Pauses struct {
	store boardStore
	by    string
}

// NewPauses opens nothing yet. by names who changes something, as "operator@host".
func NewPauses(js jetstream.JetStream, prefix outbox.Prefix, by string) *Pauses {
	return &Pauses{store: boardStore{js: js, bucket: prefix.StateBucket(), clock: servertime.New(nil)}, by: by}
}

// Paused is one pause.
type Paused struct {
	// Scope is "source:<name>" or "all" of an operator's pause, else the host or egress
	// group: "host:<host>", "group:<name>".
	Scope string `json:"scope"`
	// Left of the pause; −1: until it is ended; 0: it is being probed.
	Left time.Duration `json:"left_ns"`
	// Operator says that a person paused it, and By, who or which worker.
	Operator bool   `json:"operator"`
	By       string `json:"by,omitempty"`
	// Failures counts how often in a row the scope has been found not to work.
	Failures int `json:"failures,omitempty"`
}

// Pause has no worker pull messages of a source, or of any source when it is "", for d or,
// if that is 0, until Resume. What is in flight goes on.
func (p *Pauses) Pause(ctx context.Context, source string, d time.Duration) error {
	if d == 0 {
		d = forever
	}
	_, err := p.change(ctx, change{kind: operatorPausing, scope: operatorScope(source), left: d})
	return err
}

// Resume ends an operator's pause of a source, or that of all when it is "". It reports
// whether there was one. A source stays paused while all are.
func (p *Pauses) Resume(ctx context.Context, source string) (bool, error) {
	return p.change(ctx, change{kind: operatorResuming, scope: operatorScope(source)})
}

// List answers every pause there is, in the order of the scopes.
func (p *Pauses) List(ctx context.Context) ([]Paused, error) {
	n, _, age, err := p.store.read(ctx)
	if err != nil {
		return nil, err
	}
	n = n.after(age)
	list := []Paused{}
	for _, scope := range slices.Sorted(maps.Keys(n.Scopes)) {
		s := n.Scopes[scope]
		list = append(list, Paused{Scope: shownScope(scope), Left: s.Left, Operator: s.Operator, By: s.By, Failures: s.Failures})
	}
	return list, nil
}

func (p *Pauses) change(ctx context.Context, c change) (bool, error) {
	for range boardRounds {
		n, revision, age, err := p.store.read(ctx)
		if err != nil {
			return false, err
		}
		n = n.after(age)
		if !n.apply(c, p.by) {
			return false, nil
		}
		if _, err = p.store.write(ctx, n, revision); !errors.Is(err, errBoardChanged) {
			return err == nil, err
		}
	}
	return false, errBoardChanged
}

func operatorScope(source string) string {
	if source == "" {
		return operatorAll
	}
	return operatorPrefix + source
}

// shownScope is how an operator's pause is called outside.
func shownScope(scope string) string {
	if scope == operatorAll {
		return "all"
	}
	if source, ok := strings.CutPrefix(scope, operatorPrefix); ok {
		return "source:" + source
	}
	return scope
}
