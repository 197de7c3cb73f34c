package uploads

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// uploadKeys is the first token of the ledger keys of uploads. A source of that name does
// no harm: the keys of its messages have two tokens, these have three.
const uploadKeys = "file"

// Store remembers the URIs of files that were uploaded for messages, in the ledger
// bucket that all workers share: a message that comes again finds them, whichever worker
// has it. Every read comes from the bucket's leader. It is safe for concurrent use, in any
// number of processes.
type Store struct {
	js     jetstream.JetStream
	bucket string
	ttl    time.Duration

	mu sync.Mutex
	kv jetstream.KeyValue
}

// New makes no request: the bucket is looked for when it is first used. A URI is
// kept for ttl, which must be longer than a message may be retried; the least is 1 s.
func New(js jetstream.JetStream, p contract.Prefix, ttl time.Duration) *Store {
	return &Store{js: jsapi.Present(js), bucket: p.LedgerBucket(), ttl: max(ttl, time.Second)}
}

// Uploaded returns the URI that Keep was given for a file of the source; "" when there is
// none. file must be a token of a subject.
func (u *Store) Uploaded(ctx context.Context, source, file string) (string, error) {
	kv, err := u.open(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	entry, err := kv.Get(ctx, uploadKey(source, file))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", nil
	}
	if err != nil {
		return "", jsapi.Explain(err, u.js, "read an upload in bucket "+u.bucket)
	}
	return string(entry.Value()), nil
}

// Keep remembers the URI of a file. It is published to the bucket's subject, because a put
// cannot carry a TTL.
func (u *Store) Keep(ctx context.Context, source, file, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	_, err := u.js.Publish(ctx, jsapi.BucketSubject(u.js, u.bucket, uploadKey(source, file)), []byte(uri), jetstream.WithMsgTTL(u.ttl))
	return jsapi.Explain(err, u.js, "note an upload in bucket "+u.bucket)
}

func uploadKey(source, file string) string { return uploadKeys + "." + source + "." + file }

func (u *Store) open(ctx context.Context) (jetstream.KeyValue, error) {
	return jsapi.OpenOnce(&u.mu, &u.kv, func() (jetstream.KeyValue, error) { return jsapi.OpenBucket(ctx, u.js, u.bucket) })
}
