package worker

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/servertime"
	"github.com/redoxworker/redoxworker/worker/internal/breaker"
)

// Pauses are what all workers of a bucket share: sources that operators have paused, and
// destinations, sources, hosts and egress groups that do not work at present. Every worker sees a
// change within a second. It is safe for concurrent use by different values of it, not of one.
type Pauses struct {
	store *breaker.Store
	by    string
}

// NewPauses opens nothing yet. by names who changes something, as "operator@host".
func NewPauses(js jetstream.JetStream, prefix outbox.Prefix, by string) *Pauses {
	return &Pauses{store: breaker.NewStore(js, prefix.StateBucket(), servertime.New(nil)), by: by}
}

// Paused is one pause.
type Paused struct {
	// Scope is "source:<name>" or "all" of an operator's pause, else what does not work:
	// "source:<name>", "dest:<source>:<destination>", "host:<host>", "group:<name>", and of one
	// worker alone "key:<name>".
	Scope string `json:"scope"`
	// Left of the pause, until the next probe; −1: until it is ended; 0: it is being probed.
	Left time.Duration `json:"left_ns"`
	// Since is when the first failure was seen; zero for an operator's pause.
	Since time.Time `json:"since,omitzero"`
	// Reason is what the messages met: a text without anything of them.
	Reason string `json:"reason,omitempty"`
	// Refused: the far side refuses the source. Somebody has to see to its Source ID or key.
	Refused bool `json:"refused,omitempty"`
	// Operator says that a person paused it, and By, who or which worker.
	Operator bool   `json:"operator"`
	By       string `json:"by,omitempty"`
	// Failures counts how often in a row the scope has been found not to work.
	Failures int `json:"failures,omitempty"`
}

// Pause has no worker pull messages of a source, or of any source when it is "", for d or,
// if that is 0, until Resume. What is in flight goes on.
func (p *Pauses) Pause(ctx context.Context, source string, d time.Duration) error {
	return p.store.Pause(ctx, source, d, p.by)
}

// Resume ends an operator's pause of a source, or that of all when it is "". It reports
// whether there was one. A source stays paused while all are.
func (p *Pauses) Resume(ctx context.Context, source string) (bool, error) {
	return p.store.Resume(ctx, source, p.by)
}

// List answers every pause there is, in the order of the scopes.
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
