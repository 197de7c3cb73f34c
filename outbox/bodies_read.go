package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/seal"
)

// maxPrealloc bounds the memory that is allocated on the word of an object's header where the
// caller has set no limit.
const maxPrealloc = 16 << 20

// replacedReads is how often Get starts over because the object was replaced meanwhile.
const replacedReads = 3

// Open finds the body stored under name and reads it chunk by chunk: no more than 128 KiB of it are
// in memory at a time, if it was stored in such chunks. It makes its requests under ctx. A limit in
// bytes that is not negative is checked before anything is read; the error is a *SizeError if the
// body exceeds it. ErrBodyMissing means that there is no such object, ErrBodyAltered, also from
// Read, that parts of it are missing or do not match its digest: neither heals.
func (b *Bodies) Open(ctx context.Context, name string, limit int64) (*BodyReader, error) {
	o, err := b.look(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && o.info.Deleted:
		return nil, fmt.Errorf("outbox: %w", ErrBodyMissing)
	case errors.Is(err, ErrBodyAltered):
		return nil, fmt.Errorf("outbox: %w", err)
	case err != nil:
		return nil, b.explain(err, "look up a body")
	case o.info.Opts != nil && o.info.Opts.Link != nil:
		return nil, fmt.Errorf("outbox: %w: it is a link", ErrBodyAltered)
	case limit >= 0 && o.info.Size > uint64(limit):
		return nil, &SizeError{What: "body", Size: int64(min(o.info.Size, 1<<62)), Limit: limit, Name: "limit for stored bodies"}
	}
	digest, err := jetstream.DecodeObjectDigest(o.info.Digest)
	if err != nil {
		return nil, errDigest()
	}
	return &BodyReader{ctx: ctx, bodies: b, object: o, digest: digest, sum: sha256.New(), next: 1, limited: limit >= 0}, nil
}

// Get returns the body stored under name; see Open for limit and errors.
func (b *Bodies) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	for reads := 1; ; reads++ {
		r, err := b.Open(ctx, name, limit)
		if err != nil {
			return nil, err
		}
		body, err := r.ReadAll()
		if !errors.Is(err, ErrBodyAltered) || reads == replacedReads || !r.replaced() {
			return body, err
		}
	}
}

// GetOpened is Get for a body that may be sealed; limit is of what is sealed in it, and of the body itself. The error may
// be a [seal.ErrAltered] besides.
func (b *Bodies) GetOpened(ctx context.Context, name string, limit int64, o Opening) ([]byte, error) {
	if !o.Sealed() {
		return b.Get(ctx, name, limit)
	}
	r, err := b.OpenOpened(ctx, name, limit, o)
	if err != nil {
		return nil, err
	}
	return o.ReadAll(r)
}

// OpenOpened is Open for a body that may be sealed; see GetOpened. The result reads the sealed body:
// pass it to [Opening.Reader].
func (b *Bodies) OpenOpened(ctx context.Context, name string, limit int64, o Opening) (*BodyReader, error) {
	if o.Sealed() && limit >= 0 {
		limit = seal.Size(limit)
	}
	r, err := b.Open(ctx, name, limit)
	if err == nil && o.Sealed() && r.Size() != seal.Size(o.Size()) {
		return nil, fmt.Errorf("outbox: %w: the body has another length", seal.ErrAltered)
	}
	return r, err
}

// SizeOf is the length of the opened body, in bytes.
func (o Opening) SizeOf(r *BodyReader) int64 {
	if o.Sealed() {
		return o.Size()
	}
	return r.Size()
}

// ReadAll reads and opens a body that [Bodies.OpenOpened] has found.
func (o Opening) ReadAll(r *BodyReader) ([]byte, error) {
	if !o.Sealed() {
		return r.ReadAll()
	}
	body := make([]byte, o.Size())
	from := o.Reader(r)
	if _, err := io.ReadFull(from, body); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if _, err := from.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return nil, errors.Join(seal.ErrAltered, err)
	}
	return body, nil
}

// BodyReader reads one stored body, from its start to its end. It is for one
// goroutine at a time.
//
// It checks the digest before it hands out the last part, so that an altered body never arrives
// complete.
type BodyReader struct {
	ctx    context.Context // that of Open: io.Reader has none
	bodies *Bodies
	object object
	digest []byte
	sum    hash.Hash
	// limited: the caller has room for the size in the header.
	limited bool

	next   uint64 // sequence from which on the next chunk is looked for
	chunks uint32 // read so far
	read   uint64 // bytes of them
	part   []byte // not yet handed out
	err    error
}

// Size is the length of the body in bytes, as its header says; a body of another length is altered.
func (r *BodyReader) Size() int64 { return int64(min(r.object.info.Size, 1<<62)) }

// Read implements [io.Reader].
func (r *BodyReader) Read(p []byte) (int, error) {
	for len(r.part) == 0 && r.err == nil {
		r.part, r.err = r.chunk()
	}
	if len(r.part) == 0 {
		return 0, r.err
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}

// Close ends the reading. It never fails.
func (r *BodyReader) Close() error {
	if r.err == nil {
		r.err = fs.ErrClosed
	}
	r.part = nil
	return nil
}

// ReadAll returns the rest of the body.
func (r *BodyReader) ReadAll() ([]byte, error) {
	room := r.object.info.Size - min(r.read, r.object.info.Size) + uint64(len(r.part))
	if !r.limited {
		room = min(room, maxPrealloc)
	}
	body := append(make([]byte, 0, room), r.part...)
	for r.part = nil; r.err == nil; {
		var part []byte
		part, r.err = r.chunk()
		body = append(body, part...)
	}
	if !errors.Is(r.err, io.EOF) {
		return nil, r.err
	}
	return body, nil
}

// chunk fetches the next one. The client library's own reader waits for ever for an
// object whose chunks are gone.
func (r *BodyReader) chunk() ([]byte, error) {
	b, info := r.bodies, r.object.info
	if r.chunks == info.Chunks {
		if r.read == 0 {
			return nil, r.verify() // an empty body has no chunk that it could go with
		}
		return nil, io.EOF
	}
	msg, err := b.stream.Next(r.ctx, b.chunks(info.NUID), r.next)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("outbox: %w: a part is missing", ErrBodyAltered)
	}
	if err != nil {
		return nil, b.explain(err, "read a body")
	}
	r.chunks++
	r.read += uint64(len(msg.Data))
	r.next = msg.Sequence + 1
	if r.read > info.Size {
		return nil, fmt.Errorf("outbox: %w: it is longer than its header says", ErrBodyAltered)
	}
	r.sum.Write(msg.Data)
	if r.chunks == info.Chunks {
		if err := r.verify(); !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	return msg.Data, nil
}

// verify is io.EOF when all that was read is the body.
func (r *BodyReader) verify() error {
	if r.read != r.object.info.Size || !bytes.Equal(r.sum.Sum(nil), r.digest) {
		return errDigest()
	}
	return io.EOF
}

func errDigest() error {
	return fmt.Errorf("outbox: %w: it does not match its digest", ErrBodyAltered)
}

// replaced reports whether the name holds another body by now.
func (r *BodyReader) replaced() bool {
	o, err := r.bodies.look(r.ctx, r.object.info.Name)
	return err == nil && o.info.NUID != r.object.info.NUID
}
