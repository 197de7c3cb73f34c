package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
)

var (
	// ErrNoRegistry is returned when the bucket does not exist.
	ErrNoRegistry = errors.New("the registry of sources does not exist: set registry: true and run `redoxworker provision`")
	// ErrExists is returned when a source is added that is there already.
	ErrExists = errors.New("it is in the registry already")
	// ErrNotFound is returned when a source is changed or removed that is not there.
	ErrNotFound = errors.New("it is not in the registry")
	// ErrChanged is returned when somebody else was faster, or the revision is not the present one.
	ErrChanged = errors.New("it was changed meanwhile")
	// ErrNoAudit is returned when a change was made and its entry was not stored in the audit
	// stream.
	ErrNoAudit = errors.New("the change was made, and its entry is missing in the audit stream")
)

// Options of a [Registry]. The zero value works.
type Options struct {
	// Prefix of names in NATS. Empty means redox.
	Prefix outbox.Prefix
	// By says who changes something, as operator@host.
	By string
	// Audit has every change leave an entry in the audit stream, REDOX_AUDIT.
	Audit bool
}

// Registry reads and changes the registered sources. It is safe for concurrent use.
type Registry struct {
	js      jetstream.JetStream
	options Options
}

// New opens nothing yet.
func New(js jetstream.JetStream, o Options) *Registry { return &Registry{js: js, options: o} }

// Entry is one source of the registry.
type Entry struct {
	Name string
	// Part is the source with its defaults, or what is wrong with it.
	Part config.Part
	// Revision grows with each change of the registry.
	Revision uint64
	// Changed is when it was stored.
	Changed time.Time

	key     string // in the bucket
	removed bool
}

// Source of the entry; the zero one where it is damaged.
func (e Entry) Source() config.Source { return e.Part.Sources[e.Name] }

// List returns all entries by name. Those that cannot be used are among them. Errors:
// [ErrNoRegistry].
func (r *Registry) List(ctx context.Context) ([]Entry, error) {
	stream, err := r.stream(ctx)
	if err != nil {
		return nil, err
	}
	found, err := r.read(ctx, stream, 1, stream.CachedInfo().State.LastSeq)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(e Entry) bool { return e.removed })
	slices.SortFunc(found, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

// Get returns one entry. Errors: [ErrNotFound], [ErrNoRegistry].
func (r *Registry) Get(ctx context.Context, name string) (Entry, error) {
	kv, err := r.bucket(ctx)
	if err != nil {
		return Entry{}, err
	}
	if err := outbox.CheckSource(name); err != nil {
		return Entry{}, err
	}
	v, err := kv.Get(ctx, keyOf(name))
	if err != nil {
		return Entry{}, r.explain(name, err)
	}
	return Entry{Name: name, Part: r.decode(name, v.Value()), Revision: v.Revision(), Changed: v.Created()}, nil
}

// Put stores a source. revision is that of the entry that it replaces, 0 where there must be
// none yet. The source is checked as one of a file is, but for its key, which workers know.
// Errors: [config.Problems], [ErrExists], [ErrNotFound], [ErrChanged], [ErrNoRegistry],
// [ErrNoAudit].
func (r *Registry) Put(ctx context.Context, name string, source config.Source, revision uint64) (Entry, error) {
	part := r.Check(name, source)
	if len(part.Problems) > 0 {
		return Entry{}, config.Problems(part.Problems)
	}
	value, err := json.Marshal(valueOf(part.Sources[name]))
	if err != nil {
		return Entry{}, fmt.Errorf("registry: source %s: %w", name, err)
	}
	kv, err := r.bucket(ctx)
	if err != nil {
		return Entry{}, err
	}
	e, did := Entry{Name: name, Part: part, Changed: time.Now()}, auditAdd
	before := json.RawMessage(nil)
	if revision == 0 {
		e.Revision, err = kv.Create(ctx, keyOf(name), value)
	} else {
		did, before = auditSet, r.valueAt(ctx, kv, name, revision)
		e.Revision, err = kv.Update(ctx, keyOf(name), value, revision)
	}
	if revision == 0 && errors.Is(err, jetstream.ErrKeyExists) {
		err = ErrExists
	}
	if err != nil {
		return Entry{}, r.explain(name, err)
	}
	return e, r.audit(ctx, auditEntry{Action: did, Source: name, Before: before, After: value, Revision: e.Revision})
}

// Delete removes a source in the state of revision. Workers finish what they have of it, and
// leave what waits for it in the queue. Errors: [ErrNotFound], [ErrChanged], [ErrNoRegistry],
// [ErrNoAudit].
func (r *Registry) Delete(ctx context.Context, name string, revision uint64) error {
	kv, err := r.bucket(ctx)
	if err != nil {
		return err
	}
	before := r.valueAt(ctx, kv, name, revision)
	if err := kv.Delete(ctx, keyOf(name), jetstream.LastRevision(revision)); err != nil {
		return r.explain(name, err)
	}
	return r.audit(ctx, auditEntry{Action: auditRemove, Source: name, Before: before, Revision: revision})
}

// Forget leaves word that a source is not to be served which the registry does not have, and
// workers may still have from one that was lost. Errors: as of Delete.
func (r *Registry) Forget(ctx context.Context, name string) error {
	kv, err := r.bucket(ctx)
	if err != nil {
		return err
	}
	if err := outbox.CheckSource(name); err != nil {
		return err
	}
	if err := kv.Delete(ctx, keyOf(name)); err != nil {
		return r.explain(name, err)
	}
	return r.audit(ctx, auditEntry{Action: auditRemove, Source: name})
}

// valueAt is what an entry holds, for the audit trail; nil where it is no JSON or another one.
func (r *Registry) valueAt(ctx context.Context, kv jetstream.KeyValue, name string, revision uint64) json.RawMessage {
	v, err := kv.Get(ctx, keyOf(name))
	if err != nil || v.Revision() != revision || !json.Valid(v.Value()) {
		return nil
	}
	return v.Value()
}

func (r *Registry) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := r.js.KeyValue(ctx, r.options.Prefix.SourcesBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, ErrNoRegistry
	}
	return kv, err
}

func (r *Registry) stream(ctx context.Context) (jetstream.Stream, error) {
	stream, err := r.js.Stream(ctx, "KV_"+r.options.Prefix.SourcesBucket())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, ErrNoRegistry
	}
	return stream, err
}

// explain says what an error of the bucket means.
func (r *Registry) explain(name string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrKeyExists): // also of an update: one code says both
		err = ErrChanged
	case errors.Is(err, jetstream.ErrKeyNotFound):
		err = ErrNotFound
	}
	return fmt.Errorf("source %s: %w", name, err)
}
