package dlq

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
)

// heldKeys is the first token of the ledger keys of held tokens. A source of that name
// does no harm: the keys of its messages have two tokens, and those that have three begin with
// what they are.
const heldKeys = "hold"

// heldMarker is how long the bucket shows that a held token was released.
const heldMarker = time.Minute

// HeldTokens records which order tokens wait for a person, in the ledger bucket that all
// workers share. Every change is a compare-and-set, and every read comes from the
// bucket's leader. It is safe for concurrent use, in any number of processes.
//
// The order of effects keeps the record right through crashes; any effect may be repeated. A worker calls
// Hold before it writes a dead letter, and Release when it has delivered a message that was held, before it
// acknowledges it. A replay has the place of its dead letter ([contract.HeaderOrderPosition],
// [contract.HeaderOrderBehind]) and changes nothing here. A discard takes the message out of the order
// before it deletes the dead letter. Of one token no two messages may be in the hands of workers at a time.
type HeldTokens struct {
	js     jetstream.JetStream
	bucket string

	mu sync.Mutex
	kv jetstream.KeyValue
}

// NewHeldTokens returns the held tokens of a prefix. It makes no request: the bucket is looked for at the
// first use.
func NewHeldTokens(js jetstream.JetStream, p contract.Prefix) *HeldTokens {
	return &HeldTokens{js: jsapi.Present(js), bucket: p.LedgerBucket()}
}

// Load returns what waits behind a token. A token that is not held is no error: its Last is
// 0.
func (h *HeldTokens) Load(ctx context.Context, source, token string) (HeldToken, error) {
	kv, err := h.open(ctx)
	if err != nil {
		return HeldToken{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	entry, err := kv.Get(ctx, heldKey(source, token))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return HeldToken{Source: source, Token: token}, nil
	}
	if err != nil {
		return HeldToken{}, jsapi.Explain(err, h.js, "read a held token in bucket "+h.bucket)
	}
	return decodeHeld(entry), nil
}

// Hold records that a message was dead-lettered, and returns the position of the message before
// it, which goes into its dead letter. Repeating it is no error.
func (h *HeldTokens) Hold(ctx context.Context, at OrderPlace) (behind uint64, err error) {
	err = h.change(ctx, at.Source, at.Token, func(t *HeldToken) bool {
		behind = t.hold(at)
		return true
	})
	return behind, err
}

// Release records that a message that nothing blocked was delivered. It is no error if the
// message was not held.
func (h *HeldTokens) Release(ctx context.Context, at OrderPlace) error {
	return h.change(ctx, at.Source, at.Token, func(t *HeldToken) bool {
		t.release(at.Position)
		return true
	})
}

// skip notes that a message was discarded: what is behind it waits for what is before it.
// full reports that this was not noted, because too many gaps are.
func (h *HeldTokens) skip(ctx context.Context, at OrderPlace) (full bool, err error) {
	err = h.change(ctx, at.Source, at.Token, func(t *HeldToken) bool {
		full = t.skip(at)
		return !full
	})
	return full, err
}

// Clear releases a token, whatever waits behind it. Use it after dead letters were removed
// by other means.
func (h *HeldTokens) Clear(ctx context.Context, source, token string) error {
	return h.change(ctx, source, token, func(t *HeldToken) bool {
		*t = HeldToken{Source: source, Token: token, revision: t.revision}
		return true
	})
}

// List returns all held tokens, sorted by source and token. It takes the right to make a consumer
// on the bucket, which workers need not have.
func (h *HeldTokens) List(ctx context.Context) ([]HeldToken, error) {
	kv, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	watch, err := kv.Watch(ctx, heldKey("*", "*"), jetstream.IgnoreDeletes())
	if err != nil {
		return nil, jsapi.Explain(err, h.js, "list the held tokens in bucket "+h.bucket)
	}
	defer func() { _ = watch.Stop() }()
	var list []HeldToken
	for {
		select {
		case entry := <-watch.Updates():
			if entry == nil { // all that is stored was seen
				slices.SortFunc(list, func(a, b HeldToken) int {
					return strings.Compare(a.Source+"."+a.Token, b.Source+"."+b.Token)
				})
				return list, nil
			}
			list = append(list, decodeHeld(entry))
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// change edits the note of a token until nobody else was faster. edit reports whether its
// change is wanted.
func (h *HeldTokens) change(ctx context.Context, source, token string, edit func(*HeldToken) bool) error {
	for ctx.Err() == nil {
		t, err := h.Load(ctx, source, token)
		if err != nil {
			return err
		}
		before, damaged := t.value(), t.Damaged
		if !edit(&t) || t.Damaged == damaged && bytes.Equal(before, t.value()) {
			return nil
		}
		err = h.write(ctx, t)
		if !jsapi.AlreadyStored(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			return jsapi.Explain(err, h.js, "write a held token in bucket "+h.bucket)
		}
	}
	return context.Cause(ctx)
}

func (h *HeldTokens) write(ctx context.Context, t HeldToken) error {
	kv, err := h.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	key := heldKey(t.Source, t.Token)
	switch {
	case t.Last == 0:
		return kv.Purge(ctx, key, jetstream.LastRevision(t.revision), jetstream.PurgeTTL(heldMarker))
	case t.revision == 0:
		_, err = kv.Create(ctx, key, t.value())
	default:
		_, err = kv.Update(ctx, key, t.value(), t.revision)
	}
	return err
}

func heldKey(source, token string) string { return heldKeys + "." + source + "." + token }

func (h *HeldTokens) open(ctx context.Context) (jetstream.KeyValue, error) {
	return jsapi.OpenOnce(&h.mu, &h.kv, func() (jetstream.KeyValue, error) { return jsapi.OpenBucket(ctx, h.js, h.bucket) })
}

// PlaceOf returns where a message stands in the order of its token. ok is false in the lanes
// without an order.
func PlaceOf(m *outbox.Message) (at OrderPlace, ok bool) {
	at = OrderPlace{Source: m.Source, Token: m.OrderToken, Position: m.Position, Behind: m.Behind, Sequence: m.Sequence}
	return at, m.Lane == contract.LaneOrdered && m.OrderToken != ""
}
