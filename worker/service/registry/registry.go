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
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
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
)

// Options of a [Registry]. The zero value works.
type Options struct {
	// Prefix of names in NATS. Empty means redox.
	Prefix contract.Prefix
	// Audit enters every change before it is made: a change that cannot be recorded is not made.
	// nil means no entries.
	Audit *audit.Recorder
	// Reason is that of the changes, for the entries.
	Reason string
}

// Registry reads and changes the registered sources. It is safe for concurrent use.
type Registry struct {
	js      jetstream.JetStream
	options Options
}

// New returns a Registry. It makes no request.
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

// Source returns the source of the entry; the zero one if it is damaged.
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
	if err := contract.CheckSource(name); err != nil {
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
// [audit.ErrNotKept].
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
	deed := audit.Deed{Action: audit.SourceAdd, Source: name, After: value}
	if revision > 0 {
		deed.Action = audit.SourceSet
	}
	if deed.Before, err = r.expect(ctx, kv, name, revision); err != nil {
		return Entry{}, err
	}
	e := Entry{Name: name, Part: part, Changed: time.Now()}
	err = r.recorded(ctx, deed, func(ctx context.Context) (err error) {
		if revision == 0 {
			e.Revision, err = kv.Create(ctx, keyOf(name), value)
		} else {
			e.Revision, err = kv.Update(ctx, keyOf(name), value, revision)
		}
		if revision == 0 && errors.Is(err, jetstream.ErrKeyExists) {
			err = ErrExists
		}
		return err
	})
	if err != nil && e.Revision == 0 {
		e = Entry{}
	}
	return e, err
}

// Delete removes a source in the state of revision. Workers finish what they have of it, and
// leave what waits for it in the queue. Errors: [ErrNotFound], [ErrChanged], [ErrNoRegistry],
// [audit.ErrNotKept].
func (r *Registry) Delete(ctx context.Context, name string, revision uint64) error {
	kv, err := r.bucket(ctx)
	if err != nil {
		return err
	}
	before, err := r.expect(ctx, kv, name, revision)
	if err != nil {
		return err
	}
	return r.recorded(ctx, audit.Deed{Action: audit.SourceRemove, Source: name, Before: before}, func(ctx context.Context) error {
		return kv.Delete(ctx, keyOf(name), jetstream.LastRevision(revision))
	})
}

// Forget notes that a source is not to be served which the registry does not have, but workers may
// still have from a registry that was lost. Errors: as of Delete.
func (r *Registry) Forget(ctx context.Context, name string) error {
	kv, err := r.bucket(ctx)
	if err != nil {
		return err
	}
	if err := contract.CheckSource(name); err != nil {
		return err
	}
	return r.recorded(ctx, audit.Deed{Action: audit.SourceRemove, Source: name}, func(ctx context.Context) error {
		return kv.Delete(ctx, keyOf(name))
	})
}

// expect fails unless an entry has the revision that is to be changed, 0 for none: what would be
// refused leaves no entry in the audit trail. before is what the entry holds; nil where that is no
// JSON.
func (r *Registry) expect(ctx context.Context, kv jetstream.KeyValue, name string, revision uint64) (before json.RawMessage, err error) {
	v, err := kv.Get(ctx, keyOf(name))
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound) && revision == 0:
		return nil, nil
	case err != nil:
		return nil, r.explain(name, err)
	case revision == 0:
		return nil, r.explain(name, ErrExists)
	case v.Revision() != revision:
		return nil, r.explain(name, ErrChanged)
	case !json.Valid(v.Value()):
		return nil, nil
	}
	return v.Value(), nil
}

// recorded does a deed, with its entries in the audit trail where there is one, and explains what came of
// it.
func (r *Registry) recorded(ctx context.Context, d audit.Deed, do func(context.Context) error) error {
	explained := func(ctx context.Context) error {
		if err := do(ctx); err != nil {
			return r.explain(d.Source, err)
		}
		return nil
	}
	if r.options.Audit == nil {
		return explained(ctx)
	}
	d.Reason = r.options.Reason
	err := r.options.Audit.Do(ctx, d, explained)
	if errors.Is(err, audit.ErrNotKept) {
		err = fmt.Errorf("source %s: %w", d.Source, err)
	}
	return err
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
