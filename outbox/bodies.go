package outbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

// chunkSize is that of the client library (ADR-20).
const chunkSize = 128 << 10

// Bodies keeps message and reply bodies that are too large for a message (claim check): the message
// names the object in Redox-Body-Object. Package outbox/topology makes the store. It is safe for
// concurrent use.
//
// An object belongs to one message, and is removed by whoever delivers it. A dead letter keeps the
// object for its replay, which names the same one. [Bodies.Collect] removes objects that nothing
// names any more.
//
// Every read goes to the stream's leader, so that an object is found as soon as Put has stored it,
// and makes no consumer. The objects follow ADR-20: other tools can read them, and theirs can be
// read.
type Bodies struct {
	js     jetstream.JetStream
	prefix contract.Prefix
	bucket string
	stream jsapi.Leader
}

// NewBodies makes no request. Without a JetStream context every use is an error.
func NewBodies(js jetstream.JetStream, p contract.Prefix) *Bodies {
	js = jsapi.Present(js)
	bucket := p.BodyBucket()
	return &Bodies{js: js, prefix: p, bucket: bucket, stream: jsapi.Leader{JS: js, Stream: streams.ObjectPrefix + bucket}}
}

// Put stores body under name and replaces what is there. It keeps no reference to body. The error
// matches ErrQueueFull if the store is full and ErrNoStream if it is missing. After an error the
// name holds what it held before, unless the header was stored and its confirmation was lost.
//
// The client library's own Put is not used: only its context bounds it, and if the server
// refuses a chunk it keeps the other chunks and stores the header all the same.
func (b *Bodies) Put(ctx context.Context, name string, body []byte) error {
	_, err := b.PutFrom(ctx, name, bytes.NewReader(body))
	return err
}

// PutFrom is Put for a body that it reads from r to the end while storing it: no more than 128 KiB
// of it are in memory. It returns the length. It stops at an error of r.
func (b *Bodies) PutFrom(ctx context.Context, name string, r io.Reader) (size int64, err error) {
	old, err := b.look(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, b.explain(err, "look up a body")
	}
	chunk := int(min(chunkSize, b.js.Conn().MaxPayload()))
	info := &jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(chunk)}},
		Bucket:     b.bucket,
		NUID:       NewID(),
		ModTime:    time.Now().UTC(),
	}
	if err := b.write(ctx, info, r, make([]byte, chunk)); err != nil {
		tidy := context.WithoutCancel(ctx)
		return 0, errors.Join(b.explain(err, "store a body"), b.explain(b.stream.Purge(tidy, b.chunks(info.NUID), 0), "remove parts of a body"))
	}
	if _, err := b.writeHeader(ctx, info, nil); err != nil {
		return 0, b.explain(err, "store the header of a body")
	}
	if old.info.NUID != "" {
		return int64(info.Size), b.explain(b.stream.Purge(ctx, b.chunks(old.info.NUID), 0), "remove the body that was replaced")
	}
	return int64(info.Size), nil
}

// write stores the chunks and completes info.
func (b *Bodies) write(ctx context.Context, info *jetstream.ObjectInfo, r io.Reader, chunk []byte) error {
	sum := sha256.New()
	for {
		n, err := io.ReadFull(r, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("reading what is to be stored: %w", err)
		}
		if n > 0 {
			sum.Write(chunk[:n])
			if _, err := b.publish(ctx, &nats.Msg{Subject: b.chunks(info.NUID), Data: chunk[:n]}); err != nil {
				return err
			}
			info.Chunks++
			info.Size += uint64(n)
		}
		if err != nil {
			info.Digest = "SHA-256=" + base64.URLEncoding.EncodeToString(sum.Sum(nil))
			return nil
		}
	}
}

// writeHeader replaces the header of an object; with a sequence, only if that is the one
// which is there. It returns the sequence of the new one.
func (b *Bodies) writeHeader(ctx context.Context, info *jetstream.ObjectInfo, is *uint64) (uint64, error) {
	data, err := json.Marshal(info)
	if err != nil {
		return 0, err
	}
	m := &nats.Msg{Subject: b.header(info.Name), Header: nats.Header{}, Data: data}
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	if is != nil {
		return b.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(*is))
	}
	return b.publish(ctx, m)
}

func (b *Bodies) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	ack, err := b.js.PublishMsg(ctx, m, opts...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// Delete removes the body stored under name and leaves nothing behind. It is no error if there is
// none.
func (b *Bodies) Delete(ctx context.Context, name string) error {
	o, err := b.look(ctx, name)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return b.explain(err, "look up a body")
	}
	return b.explain(b.remove(ctx, o), "delete a body")
}

// DeleteUnlessDead deletes the object of a message that is done, unless a dead letter of
// the same message keeps the object for a replay. Such a dead letter exists if an earlier
// delivery wrote it and was cut off before the message was acknowledged. The caller needs
// the right to read from the stream of dead letters.
func (b *Bodies) DeleteUnlessDead(ctx context.Context, m Message) error {
	dead := jsapi.Leader{JS: b.js, Stream: b.prefix.DeadStream()}
	_, err := dead.Last(ctx, b.prefix.DeadSubject(m.Source, "*", b.prefix.DeadToken(m.ID, m.Sequence)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return b.Delete(ctx, m.BodyObject)
	}
	return jsapi.Explain(err, b.js, "look for a dead letter")
}

// remove takes the chunks first: as long as the header is there, it can be repeated. A
// header that was stored meanwhile stays.
func (b *Bodies) remove(ctx context.Context, o object) error {
	if o.info.NUID != "" {
		if err := b.stream.Purge(ctx, b.chunks(o.info.NUID), 0); err != nil {
			return err
		}
	}
	return b.stream.Purge(ctx, o.subject, o.sequence+1)
}

// Touch resets the age of an object, so that Collect leaves it alone. Call it before another
// message is to name the object. ErrBodyMissing means that it is gone.
func (b *Bodies) Touch(ctx context.Context, name string) error {
	for ctx.Err() == nil {
		o, err := b.look(ctx, name)
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && o.info.Deleted {
			return fmt.Errorf("outbox: %w", ErrBodyMissing)
		}
		if err != nil {
			return b.explain(err, "look up a body")
		}
		o.info.Name, o.info.ModTime = name, time.Now().UTC()
		_, err = b.writeHeader(ctx, &o.info, &o.sequence)
		if !jsapi.AlreadyStored(err) {
			return b.explain(err, "store the header of a body")
		}
	}
	return context.Cause(ctx)
}

// object is the header of an object as the stream holds it.
type object struct {
	info     jetstream.ObjectInfo
	subject  string
	sequence uint64
	stored   time.Time // by the server's clock
}

// look finds the header of an object, also of one that is marked as deleted.
// [jetstream.ErrMsgNotFound] means that there is none.
func (b *Bodies) look(ctx context.Context, name string) (object, error) {
	msg, err := b.stream.Last(ctx, b.header(name))
	if err != nil {
		return object{}, err
	}
	return readObject(msg)
}

func readObject(msg *jetstream.RawStreamMsg) (object, error) {
	o := object{subject: msg.Subject, sequence: msg.Sequence, stored: msg.Time}
	if err := json.Unmarshal(msg.Data, &o.info); err != nil {
		return o, fmt.Errorf("%w: its header cannot be read", ErrBodyAltered)
	}
	return o, nil
}

// chunks, header and headers are the subjects of an object (ADR-20).
func (b *Bodies) chunks(nuid string) string { return "$O." + b.bucket + ".C." + nuid }

func (b *Bodies) headers() string { return "$O." + b.bucket + ".M.>" }

func (b *Bodies) header(name string) string {
	return "$O." + b.bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// explain never names the object: names are chosen by publishers.
func (b *Bodies) explain(err error, what string) error {
	if err == nil {
		return nil
	}
	what += " (object store " + b.bucket + ")"
	if jsapi.NoRoom(err) {
		return fmt.Errorf("outbox: %s: %w: %w", what, ErrQueueFull, err)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("outbox: %s: %w: run `redoxworker provision`", what, ErrNoStream)
	}
	return jsapi.Explain(err, b.js, what)
}
