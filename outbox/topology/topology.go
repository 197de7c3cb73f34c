package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

const (
	defaultReplicas = 1
	maxReplicas     = 5 // nats-server, StreamMaxReplicas
	minMaxAge       = time.Minute
)

// Topology is the set of streams and buckets that publishers and workers of one prefix share,
// whatever sources there are. The zero value has the defaults. The consumers of the work queue
// are no part of it: workers make them for sources that have something to send.
type Topology struct {
	// Prefix is the first token of all names. Empty means redox.
	Prefix contract.Prefix
	// Replicas is the number of servers that keep each stream: 1 alone, 3 on a
	// cluster. 0 means 1.
	Replicas int
	// QueueMaxBytes and QueueMaxMsgs bound the work queue. A full queue refuses messages and drops
	// nothing. 0 and -1 mean that the topology sets no bound; one that an operator has set stays.
	QueueMaxBytes, QueueMaxMsgs int64
	// DeadMaxAge is how long dead letters are kept. 0 and -1 mean for ever; the
	// least is 1 min.
	DeadMaxAge time.Duration
	// AuditMaxAge is how long entries of the audit trail are kept: 0 and -1 mean for ever; the
	// least is 1 min.
	AuditMaxAge time.Duration
	// Registry adds the bucket of the registry of sources, REDOX_SOURCES.
	Registry bool
	// Reconcile adds the queue of Redox's logs that are followed, REDOX_RECONCILE, and the
	// stream of events, REDOX_EVENTS. It is how long a log may be followed.
	// 0 means that none is.
	Reconcile time.Duration
}

// Action is what Ensure does about a difference.
type Action string

const (
	// Create makes what does not exist.
	Create Action = "create"
	// Update changes what exists, losing nothing.
	Update Action = "update"
	// Refuse leaves a difference that a person must decide about: mending it
	// would lose or weaken something, or the server does not allow it.
	Refuse Action = "refuse"
)

// Change is one thing that differs from the topology.
type Change struct {
	// Kind is stream, bucket or object store.
	Kind string `json:"kind"`
	// Name is the name of the stream or bucket.
	Name   string `json:"name"`
	Action Action `json:"action"`
	// Detail says in one line what differs and, for Refuse, the mend.
	Detail string `json:"detail,omitempty"`
}

// String returns the change in one line.
func (c Change) String() string {
	s := string(c.Action) + " " + c.Kind + " " + c.Name
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	return s
}

// WithDefaults returns a copy in which every zero field has its default.
func (t Topology) WithDefaults() Topology {
	t.Prefix = contract.Prefix(t.Prefix.String())
	t.Replicas = cmp.Or(t.Replicas, defaultReplicas)
	t.DeadMaxAge = max(t.DeadMaxAge, 0)
	t.AuditMaxAge = max(t.AuditMaxAge, 0)
	t.QueueMaxBytes = cmp.Or(max(t.QueueMaxBytes, -1), -1)
	t.QueueMaxMsgs = cmp.Or(max(t.QueueMaxMsgs, -1), -1)
	return t
}

// Validate reports every field that cannot work.
func (t Topology) Validate() error {
	errs := []error{t.Prefix.Validate()}
	if t.Replicas < 0 || t.Replicas > maxReplicas {
		errs = append(errs, fmt.Errorf("outbox: replicas %d: use 1 to %d", t.Replicas, maxReplicas))
	}
	for what, age := range map[string]time.Duration{"dead letter": t.DeadMaxAge, "audit": t.AuditMaxAge} {
		if age > 0 && age < minMaxAge {
			errs = append(errs, fmt.Errorf("outbox: %s max age %v: use at least %v, or 0 to keep them for ever", what, age, minMaxAge))
		}
	}
	return errors.Join(errs...)
}

// ErrRefused is returned by [Topology.Ensure] when a difference was left as it is,
// because mending it would weaken or lose something.
var ErrRefused = errors.New("refused")

// Streams returns the configuration of every stream the topology consists of,
// those of the key-value buckets and of the object store among them, as it is
// created where nothing exists. The work queue comes first.
func (t Topology) Streams() []jetstream.StreamConfig {
	t = t.WithDefaults()
	return streams.Set{
		Names: t.Prefix, Replicas: t.Replicas, QueueMaxBytes: t.QueueMaxBytes, QueueMaxMsgs: t.QueueMaxMsgs, DeadMaxAge: t.DeadMaxAge,
		AuditMaxAge: t.AuditMaxAge, Registry: t.Registry, Reconcile: t.Reconcile,
	}.Configs()
}

// ensureRounds is how often Ensure looks again after another process was in
// its way: it created or changed the same thing between look and write.
const ensureRounds = 4

// Ensure creates what is missing and updates what can be updated without loss. It deletes nothing.
// It returns the changes that it made and those that it refused; nil means that all is as it should
// be.
//
// An error wraps [ErrRefused] if a difference was refused; everything else is then made or mended.
// It wraps [outbox.ErrPermission] if the server refused a request of this user, which NATS shows as
// a timeout. Several processes may call Ensure at once.
func (t Topology) Ensure(ctx context.Context, js jetstream.JetStream) ([]Change, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	t = t.WithDefaults()
	var done []Change
	for round := 1; ; round++ {
		steps, err := t.look(ctx, js)
		if err != nil {
			return done, err
		}
		made, err := apply(ctx, js, steps)
		done = append(done, made...)
		if err != nil && conflicted(err) && round < ensureRounds && ctx.Err() == nil {
			continue
		}
		rest := remaining(steps)
		return append(done, rest...), errors.Join(err, refusal(rest))
	}
}

// Drift returns what Ensure would do and changes nothing. Differences are no error.
func (t Topology) Drift(ctx context.Context, js jetstream.JetStream) ([]Change, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	steps, err := t.WithDefaults().look(ctx, js)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for _, s := range steps {
		changes = append(changes, s.changes...)
	}
	return changes, nil
}

// refusal is the error that stands for all refused changes.
func refusal(changes []Change) error {
	var errs []error
	for _, c := range changes {
		if c.Action == Refuse {
			errs = append(errs, fmt.Errorf("outbox: %s %s %w: %s", c.Kind, c.Name, ErrRefused, c.Detail))
		}
	}
	return errors.Join(errs...)
}
