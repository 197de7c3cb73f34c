package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

// A dead letter is replayed in steps that no transaction joins: the message is
// stored in the work queue, then the dead letter is deleted. Between them a run
// may be killed, and another may work on the same dead letter. A lock in the
// ledger makes that safe:
//
//  1. lock: a key of the dead letter's own, created once; it names the id of the
//     replay and the last sequence of the work queue at that time.
//  2. read the dead letter from the stream's leader. If it is gone, somebody
//     else has done all of this.
//  3. publish under the id of the lock, confirmed.
//  4. delete the dead letter.
//  5. delete the lock.
//
// Whoever finds a lock goes on with it, whether its owner was killed or is still at
// work: under the same id, and with the lock made anew if it is old, so that no discard
// takes it for one that was left behind. Within ten minutes the work queue recognises the
// id. Later, and after a restart of the server, what was published is found
// where it must be: in the queue, behind the sequence of the lock, or settled,
// which the worker has noted before it removed it; see [NoteReplay]. A dead letter
// is deleted before its lock, so whoever locks it anew finds it gone in step 2.
//
// An id alone is no proof that a message is this replay: an application may have
// used it, or used the id of the dead letter twice. So a replay is recognised by
// source, id and position together, and where the id is taken by another replay the next
// number is used. No publisher can take it: the work queue knows replays by a Nats-Msg-Id
// that takes a key which is kept in the ledger.
//
// A run that is stopped between lock and publish (SIGSTOP, a machine asleep), while
// another replays the dead letter, starts over when it has taken longer than the work
// queue surely remembers ids. What is left is a stop of minutes within the one
// write, and a restart of the server in the second in which two runs publish the
// same dead letter.

// lockKeys and noteKeys are first tokens of keys of three tokens in the ledger; see heldKeys.
const (
	lockKeys = "replay"
	noteKeys = "replayed"
)

const (
	// lockTTL is how long a lock lasts that its owner left behind: longer than the notes
	// of the worker, with which it is compared.
	lockTTL = 2 * noteTTL
	// lockMarker is how long the bucket shows that a lock is gone.
	lockMarker = time.Minute
	// lockFresh is how long after a lock was read its replay may be published: what
	// another run publishes meanwhile, the work queue still recognises.
	lockFresh = streams.DedupWindow / 2
	// lockBusy is how old the lock of a run that does something else must be
	// before it is taken over: that run was killed.
	lockBusy = time.Minute
)

// lock says what a run does with a dead letter.
type lock struct {
	// ID is that of the replay, N its number; both are empty for a discard and a rewrap.
	ID string `json:"id,omitempty"`
	N  int    `json:"n,omitempty"`
	// After is the last sequence of the work queue before anything was published
	// under ID.
	After uint64 `json:"after,omitempty"`
	// Rewrap is set for a rewrap.
	Rewrap bool `json:"rewrap,omitempty"`

	revision uint64
	resumed  bool      // somebody else has made it
	made     time.Time // by our clock, as read
	read     time.Time
}

func (c lock) discards() bool { return !c.replays() && !c.Rewrap }

func (c lock) replays() bool { return c.ID != "" }

func (c lock) fresh() bool { return time.Since(c.read) < lockFresh }

func lockKey(e entry) string {
	source := e.source
	if source == "" {
		source = contract.NoSource
	}
	return lockKeys + "." + source + "." + e.token
}

// lock makes want the lock of a dead letter, or returns the one that is there.
func (d *Store) lock(ctx context.Context, e entry, want lock) (lock, error) {
	for ctx.Err() == nil {
		c := want
		err := d.ask(ctx, "lock a dead letter in the ledger", func(ctx context.Context, kv jetstream.KeyValue) (err error) {
			c.revision, err = kv.Create(ctx, lockKey(e), c.json(), jetstream.KeyTTL(lockTTL))
			return err
		})
		if err == nil {
			c.made, c.read = time.Now(), time.Now()
			return c, nil
		}
		if !taken(err) {
			return lock{}, err
		}
		c, err = d.locked(ctx, e)
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return c, err
		}
	}
	return lock{}, context.Cause(ctx)
}

func (d *Store) locked(ctx context.Context, e entry) (lock, error) {
	read := time.Now()
	var entry jetstream.KeyValueEntry
	err := d.ask(ctx, "read a lock in the ledger", func(ctx context.Context, kv jetstream.KeyValue) (err error) {
		entry, err = kv.Get(ctx, lockKey(e))
		return err
	})
	if err != nil {
		return lock{}, err
	}
	// The clocks of several hosts meet here: with ours wrong, a run that is at work seems dead.
	made := entry.Created().Add(time.Duration(d.ahead.Load()))
	c := lock{revision: entry.Revision(), resumed: true, made: made, read: read}
	if err := json.Unmarshal(entry.Value(), &c); err != nil {
		return lock{}, fmt.Errorf("outbox: key %s in bucket %s is damaged: it belongs to a replay that was begun; when no other replay runs, delete the key, then discard the dead letter if the message waits in the queue or Redox has it, or else replay it: %w", lockKey(e), d.config.Prefix.LedgerBucket(), err)
	}
	return c, nil
}

// relock replaces a lock by another. False means that somebody else was faster.
func (d *Store) relock(ctx context.Context, e entry, old, want lock) (lock, bool, error) {
	err := d.ask(ctx, "lock a dead letter in the ledger", func(ctx context.Context, kv jetstream.KeyValue) error {
		// Published, not put: an update cannot carry a TTL.
		ack, err := d.js.Publish(ctx, jsapi.BucketSubject(d.js, kv.Bucket(), lockKey(e)), want.json(),
			jetstream.WithMsgTTL(lockTTL), jetstream.WithExpectLastSequencePerSubject(old.revision))
		if err == nil {
			want.revision = ack.Sequence
		}
		return err
	})
	if taken(err) {
		return lock{}, false, nil
	}
	want.resumed, want.made, want.read = false, time.Now(), time.Now()
	return want, err == nil, err
}

// unlock removes a lock. That somebody else has done so, or has another lock
// by now, is no error.
func (d *Store) unlock(ctx context.Context, e entry, c lock) error {
	err := d.ask(ctx, "remove a lock from the ledger", func(ctx context.Context, kv jetstream.KeyValue) error {
		return kv.Purge(ctx, lockKey(e), jetstream.LastRevision(c.revision), jetstream.PurgeTTL(lockMarker))
	})
	if taken(err) {
		return nil
	}
	return err
}

func (c lock) json() []byte {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers
	}
	return data
}

func taken(err error) bool { return errors.Is(err, jetstream.ErrKeyExists) || jsapi.AlreadyStored(err) }
