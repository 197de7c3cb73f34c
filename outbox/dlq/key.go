package dlq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// dedupKeyName is the ledger's key of the key below. Keys of messages have two tokens.
const dedupKeyName = "replay-key"

// dedupKey is the key of the Nats-Msg-Ids of replays: random, the same for all that replay,
// whether they have the order secret or not, and out of the reach of publishers. It is made
// once and kept in the ledger. Where that is lost, so are the ids of the last ten minutes.
func (d *Store) dedupKey(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	have := d.key
	d.mu.Unlock()
	if have != nil {
		return have, nil
	}
	key, err := d.loadDedupKey(ctx)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.key = key
	return key, nil
}

func (d *Store) loadDedupKey(ctx context.Context) ([]byte, error) {
	for ctx.Err() == nil {
		var entry jetstream.KeyValueEntry
		err := d.ask(ctx, "read the key of replays in the ledger", func(ctx context.Context, kv jetstream.KeyValue) (err error) {
			entry, err = kv.Get(ctx, dedupKeyName)
			return err
		})
		switch {
		case err == nil && len(entry.Value()) < wire.MinSecret:
			return nil, fmt.Errorf("outbox: key %s in bucket %s is damaged; when no replay runs, delete it and replay again", dedupKeyName, d.config.Prefix.LedgerBucket())
		case err == nil:
			return entry.Value(), nil
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return nil, err
		}
		err = d.ask(ctx, "make the key of replays in the ledger", func(ctx context.Context, kv jetstream.KeyValue) error {
			_, err := kv.Create(ctx, dedupKeyName, []byte(rand.Text()))
			return err
		})
		if err != nil && !taken(err) {
			return nil, err
		}
	}
	return nil, context.Cause(ctx)
}
