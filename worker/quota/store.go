package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errConflict is returned by a save that came after somebody else's.
var errConflict = errors.New("quota: the book was changed meanwhile")

// errGone is returned by a store whose bucket does not exist.
var errGone = errors.New("quota: the bucket does not exist")

// store keeps the book of a group.
type store interface {
	// load answers the book and its revision; nil and 0 when there is none.
	load(ctx context.Context) (data []byte, revision uint64, err error)
	// save stores the book in place of the revision; errConflict says that there is a
	// newer one.
	save(ctx context.Context, data []byte, revision uint64) error
	// lost reports whether there was a book before where there is none.
	lost(ctx context.Context) (bool, error)
	// time is the time of whoever keeps the book; errGone says that the place of the book is
	// gone.
	time(ctx context.Context) (time.Time, error)
}

// bucketStore is a key of the bucket that all workers share.
type bucketStore struct {
	js     jetstream.JetStream
	bucket string
	key    string
	queue  string             // the stream of the work queue, as old as the bucket if that is the first
	within time.Duration      // for how long what was used matters
	kv     jetstream.KeyValue // opened by time, which is called first
}

func (s *bucketStore) load(ctx context.Context) ([]byte, uint64, error) {
	entry, err := s.kv.Get(ctx, s.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading key %s of bucket %s: %w", s.key, s.bucket, err)
	}
	return entry.Value(), entry.Revision(), nil
}

func (s *bucketStore) save(ctx context.Context, data []byte, revision uint64) error {
	var err error
	if revision == 0 {
		_, err = s.kv.Create(ctx, s.key, data)
	} else {
		_, err = s.kv.Update(ctx, s.key, data, revision)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		return errConflict
	}
	return fmt.Errorf("writing key %s of bucket %s: %w", s.key, s.bucket, err)
}

// time asks for the state of the bucket: the answer says when it was given.
func (s *bucketStore) time(ctx context.Context) (time.Time, error) {
	if s.js == nil {
		return time.Time{}, errors.New("there is no JetStream context: give what jetstream.New returned")
	}
	stream, err := s.js.Stream(ctx, "KV_"+s.bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return time.Time{}, fmt.Errorf("opening bucket %s: %w: run `redoxworker provision`", s.bucket, errGone)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("opening bucket %s: %w", s.bucket, err)
	}
	if s.kv == nil {
		if s.kv, err = s.js.KeyValue(ctx, s.bucket); err != nil {
			return time.Time{}, fmt.Errorf("opening bucket %s: %w", s.bucket, err)
		}
	}
	return stream.CachedInfo().TimeStamp, nil
}

// bucketGrace is how much later than the work queue a bucket is made that belongs to the
// same provisioning.
const bucketGrace = time.Minute

// lost looks for what a book leaves behind: the mark of a key that was deleted, the numbers
// of a bucket that was purged, and a bucket that is younger than the queue and was made a
// window ago or less.
func (s *bucketStore) lost(ctx context.Context) (bool, error) {
	stream, err := s.js.Stream(ctx, "KV_"+s.bucket)
	if err != nil {
		return false, fmt.Errorf("looking at bucket %s: %w", s.bucket, err)
	}
	info := stream.CachedInfo()
	if info.State.Msgs == 0 && info.State.LastSeq > 0 {
		return true, nil
	}
	_, err = stream.GetLastMsgForSubject(ctx, "$KV."+s.bucket+"."+s.key)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, fmt.Errorf("looking at key %s of bucket %s: %w", s.key, s.bucket, err)
	}
	queue, err := s.js.Stream(ctx, s.queue)
	if err != nil {
		return false, nil // without a queue nothing was sent
	}
	return info.Created.Sub(queue.CachedInfo().Created) > bucketGrace && info.TimeStamp.Sub(info.Created) < s.within, nil
}

// memoryStore keeps the book of one process.
type memoryStore struct {
	mu       sync.Mutex
	data     []byte
	revision uint64
}

func (s *memoryStore) load(context.Context) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data, s.revision, nil
}

func (s *memoryStore) save(_ context.Context, data []byte, revision uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision != s.revision {
		return errConflict
	}
	s.data, s.revision = data, s.revision+1
	return nil
}

func (s *memoryStore) lost(context.Context) (bool, error) { return false, nil }

func (s *memoryStore) time(context.Context) (time.Time, error) { return time.Now(), nil }
