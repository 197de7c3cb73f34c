package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxPrealloc bounds what is allocated on the word of an object's own header.
	maxPrealloc = 16 << 20
	// chunkSize is that of the client library (ADR-20).
	chunkSize = 128 << 10
)

// Bodies keeps message and reply bodies that are too large for a message
// (claim check): the message names the object in Redox-Body-Object. The store
// is made by [Topology.Ensure]. Safe for concurrent use.
//
// All of it is read from the stream's leader, so what Put has stored is found
// at once, and no consumer is made for it.
type Bodies struct {
	js     jetstream.JetStream
	bucket string

	mu     sync.Mutex
	store  jetstream.ObjectStore // nil until found
	stream jetstream.Stream
}

// NewBodies makes no request: the store is looked for when it is first used.
func NewBodies(js jetstream.JetStream, p Prefix) *Bodies {
	return &Bodies{js: js, bucket: p.BodyBucket()}
}

// Put stores body under name, instead of what is there under that name. It
// keeps no reference to body. A full store is ErrQueueFull, a missing one
// ErrNoStream. After an error the name holds what it held before, unless the
// answer to the very last write was lost.
//
// The parts are written one after another and the header last. The client
// library's own writer has all of them in flight: it stores the header of an
// object of which a part was refused.
func (b *Bodies) Put(ctx context.Context, name string, body []byte) error {
	store, stream, err := b.open(ctx)
	if err != nil {
		return err
	}
	old, err := b.info(ctx, store, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return b.explain(err, "look up a body")
	}
	size := int(min(chunkSize, b.js.Conn().MaxPayload()))
	sum := sha256.Sum256(body)
	info := &jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(size)}},
		Bucket:     b.bucket,
		NUID:       NewID(),
		Size:       uint64(len(body)),
		Digest:     "SHA-256=" + base64.URLEncoding.EncodeToString(sum[:]),
	}
	if err := b.write(ctx, info, slices.Chunk(body, size)); err != nil {
		tidy := context.WithoutCancel(ctx)
		return errors.Join(b.explain(err, "store a body"), b.explain(b.purge(tidy, stream, b.chunks(info)), "remove parts of a body"))
	}
	if err := b.writeHeader(ctx, info); err != nil {
		return b.explain(err, "store the header of a body")
	}
	if old != nil {
		return b.explain(b.purge(ctx, stream, b.chunks(old)), "remove the body that was replaced")
	}
	return nil
}

func (b *Bodies) write(ctx context.Context, info *jetstream.ObjectInfo, chunks iter.Seq[[]byte]) error {
	for chunk := range chunks {
		if err := b.publish(ctx, &nats.Msg{Subject: b.chunks(info), Data: chunk}); err != nil {
			return err
		}
		info.Chunks++
	}
	return nil
}

func (b *Bodies) writeHeader(ctx context.Context, info *jetstream.ObjectInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	m := &nats.Msg{Subject: b.header(info.Name), Header: nats.Header{}, Data: data}
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return b.publish(ctx, m)
}

func (b *Bodies) publish(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, m)
	return err
}

// Get returns the body stored under name. A limit of bytes that is not
// negative is checked before anything is read: over it, the error is a
// *SizeError. ErrBodyMissing means that there is no such object, ErrBodyAltered
// that parts of it are missing or do not match its digest: neither heals.
func (b *Bodies) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	store, stream, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	info, err := b.info(ctx, store, name)
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return nil, fmt.Errorf("outbox: %w", ErrBodyMissing)
	case err != nil:
		return nil, b.explain(err, "look up a body")
	case info.Opts != nil && info.Opts.Link != nil:
		return nil, fmt.Errorf("outbox: %w: it is a link", ErrBodyAltered)
	case limit >= 0 && info.Size > uint64(limit):
		return nil, &SizeError{What: "body", Size: int64(min(info.Size, 1<<62)), Limit: limit, Name: "limit for stored bodies"}
	}
	return b.read(ctx, stream, info)
}

// Delete removes the body stored under name and leaves nothing behind. That
// there is none is no error.
func (b *Bodies) Delete(ctx context.Context, name string) error {
	store, stream, err := b.open(ctx)
	if err != nil {
		return err
	}
	info, err := b.info(ctx, store, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err != nil {
		return b.explain(err, "look up a body")
	}
	// Chunks first: as long as the header is there, Delete can be repeated.
	for _, subject := range []string{b.chunks(info), b.header(name)} {
		if err := b.purge(ctx, stream, subject); err != nil {
			return b.explain(err, "delete a body")
		}
	}
	return nil
}

func (b *Bodies) info(ctx context.Context, store jetstream.ObjectStore, name string) (*jetstream.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return store.GetInfo(ctx, name)
}

func (b *Bodies) purge(ctx context.Context, stream jetstream.Stream, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
}

// chunks and header are the subjects of an object (ADR-20).
func (b *Bodies) chunks(info *jetstream.ObjectInfo) string {
	return "$O." + b.bucket + ".C." + info.NUID
}

func (b *Bodies) header(name string) string {
	return "$O." + b.bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// read fetches chunk after chunk. The client library's own reader waits for
// ever for an object whose chunks are gone.
func (b *Bodies) read(ctx context.Context, stream jetstream.Stream, info *jetstream.ObjectInfo) ([]byte, error) {
	body := make([]byte, 0, min(info.Size, maxPrealloc))
	sequence := uint64(1)
	for range info.Chunks {
		msg, err := b.chunk(ctx, stream, sequence, b.chunks(info))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("outbox: %w: a part is missing", ErrBodyAltered)
		}
		if err != nil {
			return nil, b.explain(err, "read a body")
		}
		if uint64(len(body)+len(msg.Data)) > info.Size {
			return nil, fmt.Errorf("outbox: %w: it is longer than its header says", ErrBodyAltered)
		}
		body = append(body, msg.Data...)
		sequence = msg.Sequence + 1
	}
	want, err := jetstream.DecodeObjectDigest(info.Digest)
	if got := sha256.Sum256(body); err != nil || uint64(len(body)) != info.Size || !bytes.Equal(got[:], want) {
		return nil, fmt.Errorf("outbox: %w: it does not match its digest", ErrBodyAltered)
	}
	return body, nil
}

func (b *Bodies) chunk(ctx context.Context, stream jetstream.Stream, sequence uint64, subject string) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(subject))
}

// open finds the store once; a failure is not remembered. Callers that come
// at the same time may each look for it: nobody waits for another's request.
func (b *Bodies) open(ctx context.Context) (jetstream.ObjectStore, jetstream.Stream, error) {
	if store, stream := b.opened(); store != nil {
		return store, stream, nil
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, objectStream+b.bucket)
	if err != nil {
		return nil, nil, b.explain(err, "open")
	}
	store, err := b.js.ObjectStore(ctx, b.bucket)
	if err != nil {
		return nil, nil, b.explain(err, "open")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store, b.stream = store, stream
	return store, stream, nil
}

func (b *Bodies) opened() (jetstream.ObjectStore, jetstream.Stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.store, b.stream
}

// explain never names the object: names are chosen by publishers.
func (b *Bodies) explain(err error, what string) error {
	if err == nil {
		return nil
	}
	what += " (object store " + b.bucket + ")"
	switch apiCode(err) {
	case codeStoreFailed, codeAccountResources, codeInsufficientResources, codeMemoryResources, codeStorageResources:
		return fmt.Errorf("outbox: %s: %w: %w", what, ErrQueueFull, err)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("outbox: %s: %w: provision it first", what, ErrNoStream)
	}
	return explain(err, b.js, what)
}
