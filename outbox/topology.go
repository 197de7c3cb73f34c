package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultReplicas   = 1
	maxReplicas       = 5 // nats-server, StreamMaxReplicas
	defaultPartitions = 16
	maxPartitions     = 1024
	defaultAckWait    = 30 * time.Second
	minAckWait        = time.Second
	minMaxAge         = time.Minute
)

// Topology is the set of streams, buckets and consumers that publishers and
// workers of one prefix share. The zero value has the defaults and no source.
//
// Everybody of a prefix must have the same Partitions: it belongs to the work
// queue, not to a source. Sources may be split among fleets.
type Topology struct {
	// Prefix is the first token of all names. Empty means redox.
	Prefix Prefix
	// Sources are the sources that get consumers.
	Sources []string
	// Replicas is the number of servers that keep each stream: 1 alone, 3 on a
	// cluster. 0 means 1.
	Replicas int
	// Partitions is the number of partitions of each source's ordered lane, 1
	// to 1024. 0 means 16.
	Partitions int
	// AckWait is how long a worker may be silent about a message before another
	// gets it. 0 means 30 s; the least is 1 s.
	AckWait time.Duration
	// DeadMaxAge is how long dead letters are kept. 0 and -1 mean for ever; the
	// least is 1 min.
	DeadMaxAge time.Duration
	// Audit adds the stream of the audit trail, REDOX_AUDIT. AuditMaxAge is how long
	// entries are kept: 0 and -1 mean for ever; the least is 1 min.
	Audit       bool
	AuditMaxAge time.Duration
	// Registry adds the bucket of the registry of sources, REDOX_SOURCES.
	Registry bool
	// Reconcile adds the queue of Redox's logs that are followed, REDOX_RECONCILE, with its
	// consumer, and the stream of events, REDOX_EVENTS. It is how long a log may be followed.
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
	// Leave reports what is not needed or not ideal and does no harm.
	Leave Action = "leave"
)

// Change is one thing that differs from the topology.
type Change struct {
	// Kind is stream, bucket, object store or consumer.
	Kind string `json:"kind"`
	// Name is the name of the stream, bucket or consumer.
	Name   string `json:"name"`
	Action Action `json:"action"`
	// Detail says in one line what differs and, for Refuse and Leave, the mend.
	Detail string `json:"detail,omitempty"`
}

// String is the change in one line.
func (c Change) String() string {
	s := string(c.Action) + " " + c.Kind + " " + c.Name
	if c.Detail != "" {
		s += ": " + c.Detail
	}
	return s
}

// WithDefaults returns a copy in which every zero field has its default and
// the sources are sorted and unique.
func (t Topology) WithDefaults() Topology {
	t.Prefix = Prefix(t.Prefix.String())
	t.Replicas = cmp.Or(t.Replicas, defaultReplicas)
	t.Partitions = cmp.Or(t.Partitions, defaultPartitions)
	t.AckWait = cmp.Or(t.AckWait, defaultAckWait)
	t.DeadMaxAge = max(t.DeadMaxAge, 0)
	t.AuditMaxAge = max(t.AuditMaxAge, 0)
	t.Sources = slices.Compact(slices.Sorted(slices.Values(t.Sources)))
	return t
}

// Validate reports every field that cannot work.
func (t Topology) Validate() error {
	errs := []error{t.Prefix.Validate()}
	for _, source := range t.Sources {
		errs = append(errs, CheckSource(source))
	}
	if t.Replicas < 0 || t.Replicas > maxReplicas {
		errs = append(errs, fmt.Errorf("outbox: replicas %d: use 1 to %d", t.Replicas, maxReplicas))
	}
	if t.Partitions < 0 || t.Partitions > maxPartitions {
		errs = append(errs, fmt.Errorf("outbox: partitions %d: use 1 to %d", t.Partitions, maxPartitions))
	}
	if t.AckWait != 0 && t.AckWait < minAckWait {
		errs = append(errs, fmt.Errorf("outbox: ack wait %v: use at least %v", t.AckWait, minAckWait))
	}
	for what, age := range map[string]time.Duration{"dead letter": t.DeadMaxAge, "audit": t.AuditMaxAge} {
		if age > 0 && age < minMaxAge {
			errs = append(errs, fmt.Errorf("outbox: %s max age %v: use at least %v, or 0 to keep them for ever", what, age, minMaxAge))
		}
	}
	return errors.Join(errs...)
}

// ensureRounds is how often Ensure looks again after another process was in
// its way: it created or changed the same thing between look and write.
const ensureRounds = 4

// Ensure creates what is missing and updates what can be updated without
// losing anything. It deletes nothing. The changes are those made and those
// refused or left; nil means that all is as it should be.
//
// An error wraps ErrRefused when a difference was refused, and then everything
// else was made or mended nevertheless; ErrPermission when the server refused a request of
// this user, which NATS shows as a timeout. Several processes may call Ensure
// at once, also with different sources.
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

// Drift reports what Ensure would do and changes nothing. Differences are no
// error.
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
