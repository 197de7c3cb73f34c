package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// heldKeys is the first token of the ledger keys of held tokens. A source of that name
// does no harm: the keys of its messages have two tokens, these have three.
const heldKeys = "hold"

// heldMarker is how long the bucket shows that a held token was released.
const heldMarker = time.Minute

// HeldToken is an order token that waits: with order.after_dead_letter hold, a message
// that was dead-lettered holds all later messages of its token behind it.
type HeldToken struct {
	Source string `json:"source"`
	// Token is the order token; see [Message.HoldToken].
	Token string `json:"token"`
	// Pending are the messages whose dead letters wait for a person: their position in
	// the order of the token, and the sequence in the work queue of the message that
	// was dead-lettered last at this position.
	Pending map[uint64]uint64 `json:"pending"`
	// Since is when the token was last held, or released in part.
	Since time.Time `json:"since"`
	// Damaged says that what is pending could not be read: then every message of the token
	// waits, and the next that is dead-lettered makes the note anew.
	Damaged bool `json:"damaged,omitempty"`

	revision uint64
}

// Blocks reports whether a message of this position has to wait, and for which: the
// first that is pending before it, or 0 when that is not known.
func (t HeldToken) Blocks(position uint64) (by uint64, blocked bool) {
	if t.Damaged {
		return 0, true
	}
	for p := range t.Pending {
		if p < position && (!blocked || p < by) {
			by, blocked = p, true
		}
	}
	return by, blocked
}

// HeldTokens keeps which order tokens wait for a person, in the ledger bucket that all
// workers share. Every change is a compare-and-set, and every read comes from the
// bucket's leader. It is safe for concurrent use, in any number of processes.
//
// The order of effects is what makes it hold through crashes. A worker marks the token
// before it writes the dead letter. A replay publishes the message with its position
// ([HeaderOrderPosition]), then calls Release, then deletes the dead letter: a message
// that fails again in between marks its position anew, with another sequence, and
// Release leaves that one alone.
type HeldTokens struct {
	js     jetstream.JetStream
	bucket string

	mu sync.Mutex
	kv jetstream.KeyValue
}

// NewHeldTokens makes no request: the bucket is looked for when it is first used.
func NewHeldTokens(js jetstream.JetStream, p Prefix) *HeldTokens {
	return &HeldTokens{js: present(js), bucket: p.LedgerBucket()}
}

// Load answers what is pending for a token. A token that nothing holds has no Pending
// and is no error.
func (h *HeldTokens) Load(ctx context.Context, source, token string) (HeldToken, error) {
	kv, err := h.open(ctx)
	if err != nil {
		return HeldToken{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	entry, err := kv.Get(ctx, heldKey(source, token))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return HeldToken{Source: source, Token: token}, nil
	}
	if err != nil {
		return HeldToken{}, explain(err, h.js, "read a held token in bucket "+h.bucket)
	}
	return decodeHeld(entry), nil
}

// Hold marks that the message stored as sequence was dead-lettered at its position. That
// it is marked already is no error.
func (h *HeldTokens) Hold(ctx context.Context, source, token string, position, sequence uint64) error {
	return h.change(ctx, source, token, func(t *HeldToken) bool {
		pending := t.Pending
		if pending[position] == sequence {
			return false
		}
		pending[position] = sequence
		return true
	})
}

// Release takes back the mark of a position that is done: its message was delivered,
// replayed or discarded. A mark that another message has set since stays; sequence 0
// takes back any. That there is none is no error.
func (h *HeldTokens) Release(ctx context.Context, source, token string, position, sequence uint64) error {
	return h.change(ctx, source, token, func(t *HeldToken) bool {
		pending := t.Pending
		have, ok := pending[position]
		if !ok || sequence != 0 && have != sequence {
			return false
		}
		delete(pending, position)
		return true
	})
}

// Clear releases a token altogether, whatever is pending: for dead letters that were
// removed by other means.
func (h *HeldTokens) Clear(ctx context.Context, source, token string) error {
	return h.change(ctx, source, token, func(t *HeldToken) bool {
		found := len(t.Pending) > 0 || t.Damaged
		clear(t.Pending)
		return found
	})
}

// List answers all held tokens, by source and token. It takes the right to make a
// consumer on the bucket, which workers need not have.
func (h *HeldTokens) List(ctx context.Context) ([]HeldToken, error) {
	kv, err := h.open(ctx)
	if err != nil {
		return nil, err
	}
	watch, err := kv.Watch(ctx, heldKeys+".>", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, explain(err, h.js, "list the held tokens in bucket "+h.bucket)
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

// change edits the pending set of a token until nobody else was faster. edit reports
// whether there is anything to write.
func (h *HeldTokens) change(ctx context.Context, source, token string, edit func(*HeldToken) bool) error {
	for ctx.Err() == nil {
		t, err := h.Load(ctx, source, token)
		if err != nil {
			return err
		}
		if t.Pending == nil {
			t.Pending = make(map[uint64]uint64)
		}
		if !edit(&t) {
			return nil
		}
		err = h.write(ctx, t)
		if !IsAlreadyStored(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			return explain(err, h.js, "write a held token in bucket "+h.bucket)
		}
	}
	return context.Cause(ctx)
}

func (h *HeldTokens) write(ctx context.Context, t HeldToken) error {
	kv, err := h.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	key := heldKey(t.Source, t.Token)
	if len(t.Pending) == 0 {
		return kv.Purge(ctx, key, jetstream.LastRevision(t.revision), jetstream.PurgeTTL(heldMarker))
	}
	data, err := json.Marshal(heldValue{t.Pending})
	if err != nil {
		return err
	}
	if t.revision == 0 {
		_, err = kv.Create(ctx, key, data)
		return err
	}
	_, err = kv.Update(ctx, key, data, t.revision)
	return err
}

type heldValue struct {
	Pending map[uint64]uint64 `json:"pending"`
}

func heldKey(source, token string) string { return heldKeys + "." + source + "." + token }

func decodeHeld(entry jetstream.KeyValueEntry) HeldToken {
	_, rest, _ := strings.Cut(entry.Key(), ".")
	source, token, _ := strings.Cut(rest, ".")
	var v heldValue
	damaged := json.Unmarshal(entry.Value(), &v) != nil || len(v.Pending) == 0
	if damaged {
		v.Pending = nil
	}
	return HeldToken{Source: source, Token: token, Pending: v.Pending, Since: entry.Created(), Damaged: damaged, revision: entry.Revision()}
}

// open finds the bucket once; a failure is not remembered.
func (h *HeldTokens) open(ctx context.Context) (jetstream.KeyValue, error) {
	h.mu.Lock()
	kv := h.kv
	h.mu.Unlock()
	if kv != nil {
		return kv, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	kv, err := h.js.KeyValue(ctx, h.bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("outbox: open bucket %s: %w: run `redoxworker provision`", h.bucket, ErrNoStream)
	}
	if err != nil {
		return nil, explain(err, h.js, "open bucket "+h.bucket)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kv = kv
	return kv, nil
}

// HoldToken names what a message of the ordered lane waits behind: its order token, or,
// when a plain client left the header out, the partition that the token led to. ok is
// false in the other lanes.
func (m *Message) HoldToken() (token string, ok bool) {
	return holdToken(m.Lane, m.OrderToken, m.Subject)
}

// HoldToken is that of the message that died; see [Message.HoldToken].
func (d DeadLetter) HoldToken(p Prefix) (token string, ok bool) {
	_, lane, _, err := p.ParseOut(d.Subject)
	if err != nil {
		return "", false
	}
	return holdToken(lane, first(d.Header, HeaderOrderToken), d.Subject)
}

// Position is the place of the message that died in the order of its token.
func (d DeadLetter) Position() uint64 {
	return position(first(d.Header, HeaderReplayOf), first(d.Header, HeaderOrderPosition), d.Sequence)
}

func holdToken(lane Lane, token, subject string) (string, bool) {
	if lane != LaneOrdered {
		return "", false
	}
	if isOrderToken(token) {
		return token, true
	}
	return "partition-" + subject[strings.LastIndexByte(subject, '.')+1:], true
}
