package dlq

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/publish"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

const (
	defaultReplaysAtOnce = 8
	maxReplaysAtOnce     = 256
	// lockTries bounds how often a dead letter is started over because another run
	// is at it.
	lockTries = 20
)

// ReplayOptions configures a replay. The zero value works.
type ReplayOptions struct {
	// DryRun changes nothing and says what would be done.
	DryRun bool
	// KeepDeadline leaves dead letters whose deadline has passed where they are. By default they
	// are sent without their deadline.
	KeepDeadline bool
	// AtOnce is how many dead letters are replayed at the same time, never two of one order token.
	// 0 means 8; at most 256.
	AtOnce int
	// Pace is called before each dead letter that is sent, by several goroutines at
	// once, and may wait: the method Wait of a rate.Limiter (golang.org/x/time) fits.
	// Its error or panic ends the replay. nil does not wait.
	Pace func(context.Context) error
}

// Validate reports every field that cannot work.
func (o ReplayOptions) Validate() error {
	if o.AtOnce < 0 || o.AtOnce > maxReplaysAtOnce {
		return fmt.Errorf("outbox: AtOnce %d: use 1 to %d", o.AtOnce, maxReplaysAtOnce)
	}
	return nil
}

// Replay sends the dead letters of s again, as new messages in the lanes they
// came from, and deletes each once its message is confirmed. It yields what
// became of each, in the order of s, in which the messages of one order token
// are sent. An error is the last thing it yields.
//
// It may be ended at any time, by the loop, by ctx (what is under way is finished
// first, for up to 30 s) or by a crash, and run again with the same
// selection or a new one; several runs may work on the same dead letters at
// once. Each dead letter is published once.
//
// A replay has the id <id>:r<n>, so it is stored also while the work queue
// remembers the first message; its Nats-Msg-Id is none that a publisher can make. With order.after_dead_letter hold, the token is
// released by the worker, when it has delivered the replay.
func (d *Store) Replay(ctx context.Context, s Selection, o ReplayOptions) iter.Seq2[Handled, error] {
	return func(yield func(Handled, error) bool) {
		if err := o.Validate(); err != nil {
			yield(Handled{}, err)
			return
		}
		d.each(ctx, s, o.AtOnce, yield, func(ctx context.Context, q queueState, e entry) (Handled, error) {
			r := replaying{letters: d, selection: s, options: o, queue: q, entry: e}
			return r.run(ctx)
		})
	}
}

// queueState is what the work queue was like before a dead letter was started.
type queueState struct {
	last uint64
}

func (d *Store) queueState(ctx context.Context) (queueState, error) {
	out, err := d.outStream(ctx)
	if err != nil {
		return queueState{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	info, err := out.Info(ctx)
	if err != nil {
		return queueState{}, jsapi.Explain(err, d.js, "look at the work queue")
	}
	if !info.TimeStamp.IsZero() {
		d.ahead.Store(int64(time.Since(info.TimeStamp)))
	}
	return queueState{last: info.State.LastSeq}, nil
}

// replaying is one dead letter on its way back into the work queue.
type replaying struct {
	letters   *Store
	selection Selection
	options   ReplayOptions
	queue     queueState
	entry     entry
	edited    []byte // the body to send instead; nil for the dead letter's own

	letter  Stored
	message replayMessage
}

// pace calls Pace, in a goroutine of this package: its panic is an error.
func (r *replaying) pace(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("outbox: ReplayOptions.Pace panicked with a %T", p)
		}
	}()
	return r.options.Pace(ctx)
}

// run waits for its turn and takes the dead letter through all steps. Most of those that
// cannot be sent are found before anything is written about them.
func (r *replaying) run(ctx context.Context) (Handled, error) {
	h, done, err := r.prepare(ctx, "", 0)
	if err != nil || done {
		return h, err
	}
	if r.options.DryRun {
		return r.done(Replayed, 0), nil
	}
	if r.options.Pace != nil {
		if err := r.pace(ctx); err != nil {
			return Handled{}, err
		}
	}
	work, cancel := lingering(ctx)
	defer cancel()
	return r.steps(work)
}

// steps are those of lock.go.
func (r *replaying) steps(ctx context.Context) (Handled, error) {
	d := r.letters
	id, n := r.letter.ReplayID()
	c, err := d.lock(ctx, r.entry, lock{ID: id, N: n, After: r.queue.last})
	for tries := 0; err == nil && tries < lockTries; tries++ {
		if !c.replays() {
			if time.Since(c.made) < d.busy {
				return r.letter.handled(Busy, errors.New("another run is discarding or rewrapping it")), nil
			}
			c, err = r.takeOver(ctx, c, lock{ID: id, N: n, After: r.queue.last})
			continue
		}
		h, done, err := r.prepare(ctx, c.ID, c.N)
		if err != nil {
			return Handled{}, err
		}
		if done && c.resumed && h.Outcome != Gone {
			return h, nil // what the lock says of an earlier run is still needed
		}
		if done {
			return h, d.unlock(ctx, r.entry, c)
		}
		h, next, err := r.attempt(ctx, c)
		if err != nil || next == nil {
			return h, err
		}
		c = *next
	}
	if err == nil {
		err = fmt.Errorf("outbox: dead letter %d: other runs are at it all the time; run this one again", r.entry.sequence)
	}
	return Handled{}, err
}

// prepare reads the dead letter and makes its message. done says that there is
// nothing to send; without an id it is the one that comes next.
func (r *replaying) prepare(ctx context.Context, id string, n int) (h Handled, done bool, err error) {
	d := r.letters
	r.letter, err = d.read(ctx, r.entry.sequence)
	if errors.Is(err, ErrNotFound) {
		return Handled{DeadSequence: r.entry.sequence, Outcome: Gone}, true, nil
	}
	if err != nil {
		return Handled{}, false, err
	}
	if newer, err := d.superseded(ctx, r.letter); err != nil || newer != 0 {
		if err == nil && !r.options.DryRun {
			err = d.delete(ctx, r.entry)
		}
		return Handled{DeadSequence: r.entry.sequence, Outcome: Gone}, newer != 0, err
	}
	if id == "" {
		id, n = r.letter.ReplayID()
	}
	if r.edited != nil {
		if r.letter, err = d.resealed(r.letter, r.edited); err != nil {
			return Handled{}, false, err
		}
	}
	var unsealed error
	if r.letter.Letter, unsealed, err = d.required(r.letter); err != nil {
		return Handled{}, false, err
	}
	if unsealed != nil {
		return r.letter.handled(Refused, unsealed), true, nil
	}
	r.message, err = r.letter.replay(d.config.Prefix, id, n, time.Now())
	if err != nil {
		return r.letter.handled(Refused, err), true, nil
	}
	if r.message.expired && r.options.KeepDeadline {
		return r.letter.handled(Late, errors.New("its deadline has passed")), true, nil
	}
	blocked, err := d.blocked(ctx, r.selection, r.entry.place)
	if blocked {
		return r.letter.handled(Behind, errBehind), true, nil
	}
	return Handled{}, false, err
}

// attempt publishes under a lock. next is the lock to go on with when that
// came to nothing.
func (r *replaying) attempt(ctx context.Context, c lock) (h Handled, next *lock, err error) {
	d := r.letters
	if c.resumed {
		published, err := d.published(ctx, r.message, c)
		if err != nil {
			return Handled{}, nil, err
		}
		if published {
			return r.finish(ctx, c, AlreadyReplayed, 0)
		}
		if time.Since(c.made) >= d.busy/2 {
			young, ok, err := d.relock(ctx, r.entry, c, c)
			if err != nil {
				return Handled{}, nil, err
			}
			if !ok { // somebody else was faster
				return r.again(ctx, c)
			}
			c = young
		}
	}
	if err := d.crash("locked"); err != nil {
		return Handled{}, nil, err
	}
	if !c.fresh() {
		return r.again(ctx, c)
	}
	ack, err := d.send(ctx, r.message)
	if errors.Is(err, outbox.ErrInDoubt) {
		return r.again(ctx, c) // and look for what was published
	}
	if errors.As(err, new(*outbox.SizeError)) && !publish.MayBeStored(err) {
		return r.letter.handled(Refused, err), nil, d.unlock(ctx, r.entry, c)
	}
	if err != nil {
		return Handled{}, nil, fmt.Errorf("outbox: replay message %s of source %s: %w", r.letter.MessageID, r.letter.Source, err)
	}
	if err := d.crash("published"); err != nil {
		return Handled{}, nil, err
	}
	if !ack.Duplicate {
		return r.finish(ctx, c, Replayed, ack.Sequence)
	}
	own, err := d.own(ctx, r.message, ack.Sequence, c.After)
	if err != nil {
		return Handled{}, nil, err
	}
	if own {
		return r.finish(ctx, c, AlreadyReplayed, ack.Sequence)
	}
	// Something else has this id.
	base, _ := r.letter.replayBase()
	taken, err := r.takeOver(ctx, c, lock{ID: replayID(base, c.N+1), N: c.N + 1, After: r.queue.last})
	return Handled{}, &taken, err
}

// again reads the lock anew.
func (r *replaying) again(ctx context.Context, c lock) (Handled, *lock, error) {
	c, err := r.letters.lock(ctx, r.entry, lock{ID: c.ID, N: c.N, After: c.After})
	c.resumed = true
	return Handled{}, &c, err
}

// takeOver replaces a lock, or returns the one that somebody else has put there.
func (r *replaying) takeOver(ctx context.Context, old, want lock) (lock, error) {
	c, ok, err := r.letters.relock(ctx, r.entry, old, want)
	if err != nil || ok {
		return c, err
	}
	return r.letters.lock(ctx, r.entry, want)
}

// finish deletes what was replayed, and then the lock.
func (r *replaying) finish(ctx context.Context, c lock, o Outcome, sequence uint64) (Handled, *lock, error) {
	d := r.letters
	if err := d.delete(ctx, r.entry); err != nil {
		return Handled{}, nil, err
	}
	if err := d.crash("deleted"); err != nil {
		return Handled{}, nil, err
	}
	return r.done(o, sequence), nil, d.unlock(ctx, r.entry, c)
}

func (r *replaying) done(o Outcome, sequence uint64) Handled {
	h := r.letter.handled(o, nil)
	h.ReplayID, h.Sequence, h.DeadlineDropped = r.message.id, sequence, r.message.expired
	return h
}

// send stores a replay in the work queue. A body that no longer fits beside the
// headers of a replay goes into the object store.
func (d *Store) send(ctx context.Context, r replayMessage) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, publish.Timeout, publish.TimeoutError(publish.Timeout))
	defer cancel()
	m := publish.Message{Queue: d.work, Subject: d.config.Prefix.SendSubject(r.source), Msg: r.msg}
	if err := m.Connected(ctx); err != nil {
		return nil, err
	}
	key, err := d.dedupKey(ctx)
	if err != nil {
		return nil, err
	}
	r.msg.Header[contract.HeaderID] = []string{wire.DedupID(key, r.source, r.id)}
	if size, limit := wire.Size(m.Msg), d.js.Conn().MaxPayload(); size > limit {
		if len(r.msg.Data) == 0 {
			return nil, &outbox.SizeError{What: "message", Size: size, Limit: limit, Name: publish.MaxPayloadName}
		}
		m.Object = contract.BodyName(r.source, outbox.NewID())
		if err := d.bodies.Put(ctx, m.Object, r.msg.Data); err != nil {
			return nil, err
		}
		r.msg.Data = nil
		r.msg.Header[contract.HeaderBodyObject] = []string{m.Object}
	}
	// What is named by a message that moves must not seem to be named by none.
	if name := wire.First(r.msg.Header, contract.HeaderBodyObject); name != "" && m.Object == "" {
		if err := d.bodies.Touch(ctx, name); err != nil && !errors.Is(err, outbox.ErrBodyMissing) { // the worker tells that
			return nil, err
		}
	}
	ack, err := m.Publish(ctx)
	if err != nil || ack.Duplicate {
		m.Discard(ctx, d.bodies)
	}
	return ack, err
}

// delete removes one dead letter from the stream. That it is gone is no error.
//
// It is not overwritten on disk, like everything else that leaves a stream: the server
// frees the space as it compacts. Overwriting takes 8 ms for each (nats-server 2.15.2,
// measured with 100,000 dead letters), for which one would wait a quarter of an hour.
func (d *Store) delete(ctx context.Context, e entry) error {
	dead, err := d.deadStream(ctx)
	if err != nil {
		return err
	}
	ask, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	if err = dead.DeleteMsg(ask, e.sequence); err == nil {
		return nil
	}
	// The client's error does not say that there was none.
	if _, readErr := d.read(ctx, e.sequence); errors.Is(readErr, ErrNotFound) {
		return nil
	}
	return jsapi.Explain(err, d.js, "delete a dead letter")
}
