package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	keySize   = 32 // of a key of the ring and of a data key
	nonceSize = 12
	tagSize   = 16
	maxKeyID  = 32
	// mostKeys bounds a ring: it is read by everybody at once.
	mostKeys = 1000
	// unwrapAtOnce is how many keys a KMS is asked for at the same time, and unwrapOne how long it has for each.
	unwrapAtOnce = 32
	unwrapOne    = 5 * time.Second
)

// Keys are the keys of a ring, as its file has them. The zero value has none. It is not for
// concurrent use.
type Keys struct {
	list []key
}

// Key is what may be told of a key of a ring.
type Key struct {
	// ID is the name of the key, [a-z0-9-]{1,32}.
	ID string `json:"id"`
	// Made is when it was made, and Seals from when on it seals, unless a later one does.
	Made  time.Time `json:"made"`
	Seals time.Time `json:"seals"`
	// Shredded is when its bytes were removed; zero for a key that opens.
	Shredded time.Time `json:"shredded,omitzero"`
	// KMS is the name of the key in a key management service that its bytes are encrypted with; "" without one.
	KMS string `json:"kms,omitempty"`
}

// key is a key with its bytes.
type key struct {
	Key
	bytes   []byte // nil for one that was shredded, or is yet to be unwrapped
	wrapped []byte // by a KMS
	aead    cipher.AEAD
}

// KMS is a key management service that keeps the keys of a ring encrypted. Whoever opens a ring calls it once for
// each of its keys, not for each message. It must be safe for concurrent use, as several keys are asked for at once, and
// return soon after ctx ends. The errors must hold no key.
type KMS interface {
	// Wrap encrypts the bytes of a key of a ring with the service's own key of that name.
	Wrap(ctx context.Context, name string, key []byte) (wrapped []byte, err error)
	// Unwrap is the reverse of Wrap.
	Unwrap(ctx context.Context, name string, wrapped []byte) (key []byte, err error)
}

// fileKey is a key in the file.
type fileKey struct {
	Key
	Bytes   string `json:"key,omitempty"`
	Wrapped string `json:"wrapped,omitempty"`
}

type fileKeys struct {
	Keys []fileKey `json:"keys"`
}

// Parse reads the text of a ring's file. The bytes of keys that a KMS has wrapped are unwrapped
// where the ring is opened. An error names the key, and nothing of it.
func Parse(text []byte) (Keys, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var f fileKeys
	if err := dec.Decode(&f); err != nil {
		return Keys{}, errors.New("seal: the ring is not a JSON object with a list of keys: make one with `redoxworker seal new-key`")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Keys{}, errors.New("seal: the ring has something behind its JSON object: remove it")
	}
	if len(f.Keys) > mostKeys || len(text) > maxFile {
		return Keys{}, fmt.Errorf("seal: the ring has %d keys in %d bytes, and at most %d in %d are read: take out shredded ones of which nothing is left", len(f.Keys), len(text), mostKeys, maxFile)
	}
	var ks Keys
	for i, from := range f.Keys {
		k, err := from.key()
		if err == nil && slices.ContainsFunc(ks.list, func(other key) bool { return other.ID == k.ID }) {
			err = errors.New("there are two of this id")
		}
		if err != nil {
			return Keys{}, fmt.Errorf("seal: key %d of the ring: %w", i+1, err)
		}
		ks.list = append(ks.list, k)
	}
	return ks, nil
}

func (f fileKey) key() (key, error) {
	k := key{Key: f.Key}
	if !isKeyID(k.ID) {
		return k, errors.New("its id is not of 1 to 32 of a-z, 0-9 and -")
	}
	var err error
	switch {
	case !k.Shredded.IsZero():
		if f.Bytes != "" || f.Wrapped != "" {
			return k, errors.New("it is marked as shredded and has its bytes still: remove one of both")
		}
	case f.Bytes != "" && f.Wrapped != "" || (f.Wrapped != "") != (k.KMS != ""):
		return k, errors.New("it needs either its bytes as key, or kms and wrapped")
	case f.Wrapped != "":
		if k.wrapped, err = base64.StdEncoding.DecodeString(f.Wrapped); err != nil {
			return k, errors.New("wrapped is not base64")
		}
	default:
		if k.bytes, err = base64.StdEncoding.DecodeString(f.Bytes); err != nil || len(k.bytes) != keySize {
			return k, errors.New("its key is not the base64 of 32 bytes")
		}
		k.aead = newAEAD(k.bytes)
	}
	return k, nil
}

// Encode makes the text of a ring's file. It is secret.
func (ks Keys) Encode() []byte {
	f := fileKeys{Keys: []fileKey{}}
	for _, k := range ks.list {
		one := fileKey{Key: k.Key}
		switch {
		case len(k.wrapped) > 0:
			one.Wrapped = base64.StdEncoding.EncodeToString(k.wrapped)
		case k.bytes != nil:
			one.Bytes = base64.StdEncoding.EncodeToString(k.bytes)
		}
		f.Keys = append(f.Keys, one)
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		panic(err) // texts and times
	}
	return append(text, '\n')
}

// List returns what may be told of the keys, in the order of the file.
func (ks Keys) List() []Key {
	var all []Key
	for _, k := range ks.list {
		all = append(all, k.Key)
	}
	return all
}

// With returns the keys and a new one, which begins to seal at an instant. The first key of a ring
// should seal at once, others when everybody who opens has the new ring.
func (ks Keys) With(now, seals time.Time) (Keys, Key) {
	k := newKey(now, seals)
	k.bytes = random(keySize)
	k.aead = newAEAD(k.bytes)
	return Keys{list: append(slices.Clone(ks.list), k)}, k.Key
}

// WithWrapped is With for a key whose bytes a KMS wraps with its own key of a name.
func (ks Keys) WithWrapped(ctx context.Context, now, seals time.Time, kms KMS, name string) (Keys, Key, error) {
	if kms == nil || name == "" {
		return ks, Key{}, errors.New("seal: a wrapped key needs a KMS and the name of a key in it")
	}
	k := newKey(now, seals)
	k.KMS, k.bytes = name, random(keySize)
	var err error
	if k.wrapped, err = guardKMS(func() ([]byte, error) { return kms.Wrap(ctx, name, slices.Clone(k.bytes)) }); err != nil {
		return ks, Key{}, fmt.Errorf("seal: wrap a key: %w", err)
	}
	k.aead = newAEAD(k.bytes)
	return Keys{list: append(slices.Clone(ks.list), k)}, k.Key, nil
}

func newKey(now, seals time.Time) key {
	now, seals = now.UTC().Truncate(time.Second), seals.UTC().Truncate(time.Second)
	return key{Key: Key{ID: now.Format("20060102") + "-" + hex.EncodeToString(random(4)), Made: now, Seals: seals}}
}

// Shred returns the keys without the bytes of one, which nobody can get back: what it sealed is
// lost. It refuses the key that seals at an instant, and one that is not there.
func (ks Keys) Shred(id string, now time.Time) (Keys, error) {
	at := slices.IndexFunc(ks.list, func(k key) bool { return k.ID == id })
	switch {
	case at < 0:
		return ks, fmt.Errorf("seal: the ring has no key %.40q", id)
	case !ks.list[at].Shredded.IsZero():
		return ks, fmt.Errorf("seal: key %s was shredded on %s", id, ks.list[at].Shredded.Format(time.RFC3339))
	}
	if newest := ks.newest(now); newest != nil && newest.ID == id {
		return ks, fmt.Errorf("seal: key %s seals what is published now: run `redoxworker seal rotate` first, and shred it when the next key seals", id)
	}
	list := slices.Clone(ks.list)
	list[at] = key{Key: list[at].Key}
	list[at].KMS, list[at].Shredded = "", now.UTC().Truncate(time.Second)
	return Keys{list: list}, nil
}

// Sealing returns the key that seals at an instant; ok is false when there is none.
func (ks Keys) Sealing(now time.Time) (k Key, ok bool) {
	if newest := ks.newest(now); newest != nil {
		return newest.Key, true
	}
	return Key{}, false
}

// newest is the key that seals at an instant; nil for none.
func (ks Keys) newest(now time.Time) *key {
	var best *key
	for i := range ks.list {
		k := &ks.list[i]
		if k.Shredded.IsZero() && !k.Seals.After(now) && (best == nil || cmp.Or(k.Seals.Compare(best.Seals), k.Made.Compare(best.Made)) >= 0) {
			best = k
		}
	}
	return best
}

// find is the key of an id.
func (ks Keys) find(id string) (*key, error) {
	for i := range ks.list {
		if k := &ks.list[i]; k.ID == id {
			if !k.Shredded.IsZero() {
				return nil, fmt.Errorf("%w: %s, on %s", ErrShredded, id, k.Shredded.Format(time.DateOnly))
			}
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
}

// unwrap has a KMS unwrap what needs it, but for keys that before has unwrapped already. The error is that of the
// first key that stays as it is. Keys are asked for in no order: those for which the KMS takes its time, however many they
// are, are not before all others each time.
func (ks Keys) unwrap(ctx context.Context, kms KMS, before Keys) error {
	var all sync.WaitGroup
	slots, errs := make(chan struct{}, unwrapAtOnce), make([]error, len(ks.list))
	for _, i := range mathrand.Perm(len(ks.list)) {
		k := &ks.list[i]
		if k.wrapped == nil || k.bytes != nil {
			continue
		}
		at := slices.IndexFunc(before.list, func(old key) bool { return old.ID == k.ID && bytes.Equal(old.wrapped, k.wrapped) && old.bytes != nil })
		if at >= 0 {
			k.bytes, k.aead = before.list[at].bytes, before.list[at].aead
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, unwrapOne)
			defer cancel()
			errs[i] = k.unwrap(ctx, kms)
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

func (k *key) unwrap(ctx context.Context, kms KMS) error {
	if kms == nil {
		return fmt.Errorf("key %s is wrapped by a KMS (%.60q), and there is none here", k.ID, k.KMS)
	}
	got, err := guardKMS(func() ([]byte, error) { return kms.Unwrap(ctx, k.KMS, slices.Clone(k.wrapped)) })
	if err == nil && len(got) != keySize {
		err = fmt.Errorf("it has %d bytes, not %d", len(got), keySize)
	}
	if err != nil {
		return fmt.Errorf("key %s is not unwrapped by the KMS: %w", k.ID, err)
	}
	k.bytes, k.aead = got, newAEAD(got)
	return nil
}

// opening are the keys that can be used.
func (ks Keys) opening() Keys {
	return Keys{slices.DeleteFunc(slices.Clone(ks.list), func(k key) bool { return k.aead == nil })}
}

// usable is k, unless a KMS has not unwrapped it yet.
func (k *key) usable() (*key, error) {
	if k.aead == nil {
		return nil, fmt.Errorf("%w: key %s is not unwrapped by the KMS", ErrAway, k.ID)
	}
	return k, nil
}

// guardKMS turns a panic of the embedder's code into an error.
func guardKMS(call func() ([]byte, error)) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("the KMS panicked with a %T", p)
		}
	}()
	return call()
}

func isKeyID(id string) bool {
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return id != "" && len(id) <= maxKeyID
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // of AES
	}
	return aead
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
