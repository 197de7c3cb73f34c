package dlq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// ErrNotFound is returned by [Store.Get] and [Store.Body] when
// there is no such dead letter, or no more.
var ErrNotFound = errors.New("no such dead letter")

// Stored is a dead letter as its stream holds it.
type Stored struct {
	// Body is nil except from [Store.Get]; see [Store.Body].
	Letter
	// DeadSequence and DeadSubject are its own place, in the dead-letter stream.
	DeadSequence uint64
	DeadSubject  string
	// Stored is when the stream took it.
	Stored time.Time
	// Size is that of the body stored with it, in bytes: 0 when the body is an
	// object; see Object.
	Size int
	// DataModel and EventType are those of the body's Meta, as far as the body is
	// a data-model message, each as [contract.SafeName] shows it; see [Query] and [Config].
	DataModel, EventType string
}

// Object is the name of the body in the object store; empty when the body is
// in the dead letter.
func (l Stored) Object() string { return wire.First(l.Header, contract.HeaderBodyObject) }

// SharedIDError is returned when a message id alone does not say which message is meant:
// messages of several sources have it.
type SharedIDError struct {
	ID      string
	Sources []string // sorted
}

// shownSources bounds the sources that an error names.
const shownSources = 10

// Error names the first of the sources.
func (e *SharedIDError) Error() string {
	shown, more := e.Sources, ""
	if n := len(shown) - shownSources; n > 0 {
		shown, more = shown[:shownSources], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("message id %s is that of messages of %d sources, %s%s: name the source", wire.Line(e.ID), len(e.Sources), strings.Join(shown, ", "), more)
}

// UnreadableError is about one message of the dead-letter stream that is not a dead letter, since
// something other than a worker wrote it.
type UnreadableError struct {
	Sequence uint64
	Reason   error
}

// Error names the sequence and what is wrong.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("outbox: message %d of the dead-letter stream cannot be read; look at it with the nats command: %v", e.Sequence, e.Reason)
}

// Unwrap returns the reason.
func (e *UnreadableError) Unwrap() error { return e.Reason }

// Config configures a Store. The zero value works.
type Config struct {
	// Prefix of subjects and streams. Empty means redox.
	Prefix contract.Prefix
	// MaxClaim bounds a body read from the object store, in bytes. 0 means
	// 64 MiB, -1 no bound.
	MaxClaim int64
	// Ring opens sealed dead letters, and seals what is edited or restored. nil leaves sealed ones closed.
	Ring *seal.Ring
	// RequireSeal seals an unsealed dead letter when it is replayed, because workers would refuse it otherwise. A
	// replay is refused if the dead letter cannot be sealed, since there is no Ring or its body is in the object
	// store.
	RequireSeal bool
	// ReadEvent reads the data model and the event type of a body, which may be anything; ReadEvent of
	// package worker/redox does. nil means that they are not known, and that no [Query] can ask for them.
	ReadEvent func(body []byte) (dataModel, eventType string)
}

// Store reads the stream of dead letters and sends or discards what is
// in it. Reading does not consume. It is safe for concurrent use, and any
// number of processes may work on the same stream at once.
//
// Its user needs the rights of the operator in deploy/nats: to make consumers
// on the stream and delete single messages of it, to publish to the work queue
// and look at it, and to write the ledger bucket.
type Store struct {
	js      jetstream.JetStream
	letters jsapi.Leader // the dead-letter stream
	queue   jsapi.Leader // the work queue
	config  Config
	work    publish.Queue // the same, to publish to
	bodies  *outbox.Bodies
	held    *HeldTokens
	busy    time.Duration            // lockBusy, but in tests
	fault   func(point string) error // of tests: ends a step as a crash would; nil otherwise
	ahead   atomic.Int64             // how far our clock was ahead of the server's, in nanoseconds

	mu   sync.Mutex
	dead jetstream.Stream // nil until found
	out  jetstream.Stream
	kv   jetstream.KeyValue
	key  []byte // see dedupKey
}

// New returns a Store on js. It makes no request.
func New(js jetstream.JetStream, cfg Config) (*Store, error) {
	if js == nil {
		return nil, errors.New("outbox: dlq.New needs a JetStream context")
	}
	p := outbox.PublisherConfig{Prefix: cfg.Prefix, MaxClaim: cfg.MaxClaim}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	cfg.MaxClaim = p.WithDefaults().MaxClaim
	return &Store{
		js: js, letters: jsapi.Leader{JS: js, Stream: cfg.Prefix.DeadStream()}, queue: jsapi.Leader{JS: js, Stream: cfg.Prefix.OutStream()},
		work:   publish.Queue{JS: js, Stream: cfg.Prefix.OutStream(), TooLarge: tooLarge},
		config: cfg, bodies: outbox.NewBodies(js, cfg.Prefix), held: NewHeldTokens(js, cfg.Prefix), busy: lockBusy,
	}, nil
}

// Get returns all dead letters of a message id of a source, oldest first, with the bodies that are
// stored in them: usually one, several when the application used an id again. If there is none it
// returns those of the message's replays. Without a source it looks for the one source that has the
// id; if several have it, the error is a *[SharedIDError]. [contract.NoSource] stands for dead
// letters whose subject named no source. [ErrNotFound] means that there is nothing. It reads the
// whole stream.
func (d *Store) Get(ctx context.Context, source, id string) ([]Stored, error) {
	q := Query{IDs: []string{id}}
	if source != "" {
		q.Sources = []string{source}
	}
	s, err := d.Select(ctx, q)
	if err != nil {
		return nil, err
	}
	if shared := s.Shared(q.IDs); shared != nil {
		return nil, shared
	}
	slices.SortFunc(s.entries, func(a, b entry) int { return cmp.Compare(a.sequence, b.sequence) })
	var found []Stored
	for _, e := range s.entries {
		whole, err := d.read(ctx, e.sequence)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		d.readEvent(&whole, whole.Body)
		found = append(found, whole)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("outbox: message %s of %s: %w", wire.Line(id), cmp.Or(source, "any source"), ErrNotFound)
	}
	return found, nil
}

// readEvent fills in what the body of a dead letter is about, where that can be read.
func (d *Store) readEvent(l *Stored, body []byte) {
	if d.config.ReadEvent != nil {
		model, event := d.config.ReadEvent(body)
		l.DataModel, l.EventType = contract.SafeName(model), contract.SafeName(event)
	}
}

// check reports every value of q that no dead letter can have, and what d cannot look for.
func (d *Store) check(q Query) error {
	err := q.Validate()
	if d.config.ReadEvent == nil && q.readsBodies() {
		err = errors.Join(err, errors.New("outbox: dead letters cannot be told by data model and event: set dlq.Config.ReadEvent to redox.ReadEvent of worker/redox"))
	}
	return err
}

// read fetches one dead letter from the stream's leader: a replica may still
// show what was deleted a moment ago.
func (d *Store) read(ctx context.Context, sequence uint64) (Stored, error) {
	msg, err := d.letters.At(ctx, sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Stored{}, fmt.Errorf("outbox: message %d of the dead-letter stream: %w", sequence, ErrNotFound)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return Stored{}, d.missing(d.config.Prefix.DeadStream())
	case err != nil:
		return Stored{}, jsapi.Explain(err, d.js, "read a dead letter")
	}
	return d.decode(outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: msg.Sequence, Time: msg.Time}, len(msg.Data))
}

func (d *Store) decode(in outbox.Stored, size int) (Stored, error) {
	letter, err := Decode(d.config.Prefix, in)
	if err != nil {
		return Stored{}, &UnreadableError{Sequence: in.Sequence, Reason: err}
	}
	return Stored{Letter: letter, DeadSequence: in.Sequence, DeadSubject: in.Subject, Stored: in.Time, Size: size}, nil
}

// deadStream, outStream and ledger find what they name once; a failure is not
// remembered.
func (d *Store) deadStream(ctx context.Context) (jetstream.Stream, error) {
	return jsapi.OpenOnce(&d.mu, &d.dead, func() (jetstream.Stream, error) { return d.stream(ctx, d.config.Prefix.DeadStream()) })
}

func (d *Store) outStream(ctx context.Context) (jetstream.Stream, error) {
	return jsapi.OpenOnce(&d.mu, &d.out, func() (jetstream.Stream, error) { return d.stream(ctx, d.config.Prefix.OutStream()) })
}

func (d *Store) ledger(ctx context.Context) (jetstream.KeyValue, error) {
	return jsapi.OpenOnce(&d.mu, &d.kv, func() (jetstream.KeyValue, error) {
		return jsapi.OpenBucket(ctx, d.js, d.config.Prefix.LedgerBucket())
	})
}

// ask makes a request to the ledger, again where nobody answered: a server that starts swallows
// some. What it changes is compared with the key's revision, so that a repeat does no harm.
func (d *Store) ask(ctx context.Context, what string, request func(context.Context, jetstream.KeyValue) error) error {
	kv, err := d.ledger(ctx)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, jsapi.Timeout)
		err := request(once, kv)
		cancel()
		if !jsapi.MayPass(err) || try == jsapi.Tries || !jsapi.Sleep(ctx, jsapi.Pause<<try) {
			return jsapi.Explain(err, d.js, what)
		}
	}
}

func (d *Store) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	s, err := d.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, d.missing(name)
	}
	return s, jsapi.Explain(err, d.js, "open stream "+name)
}

func (d *Store) missing(name string) error {
	return fmt.Errorf("outbox: %s: %w: run `redoxworker provision`", name, outbox.ErrNoStream)
}

// crash is where a test ends a step.
func (d *Store) crash(point string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(point)
}

func tooLarge(size, limit int64, name string) error {
	return &outbox.SizeError{What: "message", Size: size, Limit: limit, Name: name}
}
