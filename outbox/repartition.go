package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Changing the number of partitions moves order tokens to other partitions. A message that
// is stored after the change must not overtake one that was stored before it. So the queue
// is closed for ordered messages first: their publishers are told that no stream takes the
// subject, and nothing is stored. Then the partitions must be empty, or become so; then one
// update brings the new number and opens the queue again. Unordered messages and requests
// flow all the while.

const (
	// closedUntil is stream metadata: the queue is closed for ordered messages, and
	// whoever closed it is at work, until then. Afterwards anybody may open it.
	closedUntil = "redoxworker.closed-until"
	closedFor   = time.Minute
	// drainLook is how often the partitions are looked at, and for how long they must be
	// empty: in a cluster a write may be shown a moment after it was accepted.
	drainLook = 500 * time.Millisecond
)

// Repartition changes the number of partitions of the work queue to that of t, and nothing
// else. With wait false it refuses while a partition holds messages (ErrRefused); with
// wait true it closes the queue for ordered messages and waits until the workers have
// emptied the partitions, calling progress with what is left now and then (nil: nobody
// listens). Publishers of ordered messages get [ErrNoStream] meanwhile. When ctx ends
// first the queue is opened again with the old number.
//
// A queue that does not exist, or has that number, is left alone. Workers must be started
// anew with the new number; those with the old one go on with the partitions they know.
func (t Topology) Repartition(ctx context.Context, js jetstream.JetStream, wait bool, progress func(left uint64)) ([]Change, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	js, t = present(js), t.WithDefaults()
	stream, err := ask(ctx, js, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, t.Prefix.OutStream()) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(err, js, "look at stream "+t.Prefix.OutStream())
	}
	have, want := stream.CachedInfo().Config, t.outStream()
	if sameTransform(have.SubjectTransform, want.SubjectTransform) {
		return nil, nil
	}
	stranded, err := t.stranded(ctx, js, stream)
	if err != nil {
		return nil, explain(err, js, "look at the partitions of "+t.Prefix.OutStream())
	}
	if stranded != "" {
		return nil, fmt.Errorf("outbox: stream %s %w: another number of partitions %s", t.Prefix.OutStream(), ErrRefused, stranded)
	}
	r := repartition{js: js, stream: stream, prefix: t.Prefix, have: have, want: want, progress: progress}
	return r.run(ctx, wait)
}

// stranded says what another number of partitions would do to sources that have partitions and
// are not t's: the workers of another fleet would not hear of it. It is "" if there are none.
// Names alone are asked for, because a list of consumers may lack some in a cluster.
func (t Topology) stranded(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream) (string, error) {
	others, err := ask(ctx, js, func(ctx context.Context) (map[string]bool, error) {
		others := make(map[string]bool)
		list := stream.ConsumerNames(ctx)
		for name := range list.Name() { // always to its end: the lister sends on
			if source, _, ok := t.Prefix.ParseOrderedConsumer(name); ok && !slices.Contains(t.Sources, source) {
				others[source] = true
			}
		}
		return others, list.Err()
	})
	if err != nil || len(others) == 0 {
		return "", err
	}
	return fmt.Sprintf("would leave ordered messages of sources that are not named here where nobody reads them (%s): name them in this configuration, or delete their consumers if nobody serves them any more",
		strings.Join(slices.Sorted(maps.Keys(others)), ", ")), nil
}

// Partitions is the number of partitions that the work queue of a prefix has; 0 when there is
// no queue, or none that keeps order. An error wraps [ErrPermission] when the server refused
// to tell this user. Safe for concurrent use.
func Partitions(ctx context.Context, js jetstream.JetStream, p Prefix) (int, error) {
	js = present(js)
	stream, err := ask(ctx, js, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, p.OutStream()) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, explain(err, js, "look at stream "+p.OutStream())
	}
	if t := stream.CachedInfo().Config.SubjectTransform; t != nil {
		return partitionsOf(t.Destination), nil
	}
	return 0, nil
}

type repartition struct {
	js         jetstream.JetStream
	stream     jetstream.Stream
	prefix     Prefix
	have, want jetstream.StreamConfig
	progress   func(uint64)
}

// closedSubjects are what the queue takes while it is closed for ordered messages. The
// stored subjects of the partitions stay among them: their consumers need them.
func (p Prefix) closedSubjects() []string {
	out := p.String() + ".out.*."
	return []string{out + "send", out + "request", out + "ordered.*"}
}

func (r *repartition) run(ctx context.Context, wait bool) ([]Change, error) {
	left, err := r.left(ctx)
	if err != nil {
		return nil, err
	}
	if left > 0 && !wait {
		return nil, r.refused(left)
	}
	if err := r.close(ctx); err != nil { // it may have been done all the same
		return nil, errors.Join(err, r.open(context.WithoutCancel(ctx), r.have))
	}
	if left, err = r.drain(ctx, wait); left > 0 || err != nil {
		if err == nil {
			err = r.refused(left)
		}
		return nil, errors.Join(err, r.open(context.WithoutCancel(ctx), r.have))
	}
	next := r.have
	next.SubjectTransform = r.want.SubjectTransform
	if err := r.open(ctx, next); err != nil {
		return nil, err
	}
	return []Change{{Kind: "stream", Name: r.prefix.OutStream(), Action: Update,
		Detail: fmt.Sprintf("subject transform %s -> %s", transformText(r.have.SubjectTransform), transformText(r.want.SubjectTransform))}}, nil
}

func (r *repartition) refused(left uint64) error {
	return fmt.Errorf("outbox: stream %s %w: subject transform %s -> %s with %d ordered messages stored would break their order: let the workers empty the partitions first (`redoxworker provision --drain` waits for it)",
		r.prefix.OutStream(), ErrRefused, transformText(r.have.SubjectTransform), transformText(r.want.SubjectTransform), left)
}

// drain waits until the partitions have been empty for a while. Without wait it only makes
// sure that they are.
func (r *repartition) drain(ctx context.Context, wait bool) (left uint64, err error) {
	ticker := time.NewTicker(drainLook)
	defer ticker.Stop()
	for empty, closed := false, time.Now(); ; {
		select {
		case <-ctx.Done():
			return left, context.Cause(ctx)
		case <-ticker.C:
		}
		if left, err = r.left(ctx); err != nil || left > 0 && !wait {
			return left, err
		}
		if left == 0 && empty {
			return 0, nil
		}
		if empty = left == 0; !empty && r.progress != nil {
			r.progress(left)
		}
		if time.Since(closed) > closedFor/3 {
			if err := r.close(ctx); err != nil {
				return left, err
			}
			closed = time.Now()
		}
	}
}

// left counts the messages in the partitions.
func (r *repartition) left(ctx context.Context) (uint64, error) {
	n, err := storedIn(ctx, r.js, r.stream, r.prefix.String()+".out.*.ordered.*")
	return n, explain(err, r.js, "count the messages in the partitions of "+r.prefix.OutStream())
}

// storedIn counts the messages of the stream under a subject with wildcards.
func storedIn(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, subjects string) (stored uint64, err error) {
	info, err := ask(ctx, js, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return stream.Info(ctx, jetstream.WithSubjectFilter(subjects))
	})
	if err != nil {
		return 0, err
	}
	for _, n := range info.State.Subjects {
		stored += n
	}
	return stored, nil
}

// close stops the intake of ordered messages, or says again that it is closed on purpose.
func (r *repartition) close(ctx context.Context) error {
	cfg := r.have
	cfg.Subjects = r.prefix.closedSubjects()
	cfg.Metadata = withMetadata(cfg.Metadata, closedUntil, time.Now().Add(closedFor).UTC().Format(time.RFC3339))
	return explain(r.update(ctx, cfg), r.js, "close stream "+r.prefix.OutStream()+" for ordered messages")
}

// open starts the intake again, under the given configuration.
func (r *repartition) open(ctx context.Context, cfg jetstream.StreamConfig) error {
	cfg.Subjects = r.want.Subjects
	cfg.Metadata = withMetadata(cfg.Metadata, closedUntil, "")
	return explain(r.update(ctx, cfg), r.js, "open stream "+r.prefix.OutStream()+" for ordered messages")
}

// update may be repeated: it says what is to be, not what is to change.
func (r *repartition) update(ctx context.Context, cfg jetstream.StreamConfig) error {
	_, err := ask(ctx, r.js, func(ctx context.Context) (jetstream.Stream, error) { return r.js.UpdateStream(ctx, cfg) })
	return err
}

func withMetadata(m map[string]string, key, value string) map[string]string {
	if m = maps.Clone(m); m == nil {
		m = map[string]string{}
	}
	delete(m, key)
	if value != "" {
		m[key] = value
	}
	return m
}

// reopen deals with a queue that is closed for ordered messages: it stays so while somebody
// is at work, and is opened when they left it so. It reports whether it was closed.
func (d *streamDifference) reopen(p Prefix, want jetstream.StreamConfig) bool {
	if !slices.Equal(d.have.Subjects, p.closedSubjects()) {
		return false
	}
	until, err := time.Parse(time.RFC3339, d.have.Metadata[closedUntil])
	if err == nil && time.Now().Before(until) {
		d.leave("it takes no ordered messages at the moment: the number of partitions is being changed, at least until %s", until.Format(time.TimeOnly))
		return true
	}
	d.update("subjects + %s.out.*.send.*: open for ordered messages again", p)
	d.have.Subjects = want.Subjects
	d.have.Metadata = withMetadata(d.have.Metadata, closedUntil, "")
	return true
}
