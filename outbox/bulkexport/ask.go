package bulkexport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// late is how much later than its deadline the reply to a REQUEST may come.
const late = 30 * time.Second

// ask has a REQUEST sent and waits for its reply, whose body stays in the object store if it is
// large. The reply is lost with this process, unless m has a subject for it: files would else be
// kept for a day in the stream of replies.
func (e *Export) ask(ctx context.Context, id string, until time.Time, m outbox.Message) (outbox.Reply, error) {
	m.ID, m.Source, m.Kind, m.Lane, m.Deadline = id, e.config.Source, outbox.KindFHIR, contract.LaneRequest, until
	waiting, cancel := context.WithDeadlineCause(ctx, until.Add(late), errLate)
	defer cancel()
	r, err := e.publisher.Request(waiting, m)
	if errors.Is(err, outbox.ErrNoReply) && ctx.Err() == nil {
		return r, passing{fmt.Errorf("no reply within %s: does a worker serve source %s? `redoxworker status` shows what its messages wait for: %w", e.config.Wait, e.config.Source, outbox.ErrNoReply)}
	}
	if err != nil && ctx.Err() == nil && (waiting.Err() != nil || errors.Is(err, outbox.ErrQueueFull) || errors.Is(err, outbox.ErrNoStream)) {
		return r, passing{err}
	}
	return r, err
}

var errLate = errors.New("it takes too long")

func (e *Export) replyTo(id string) string { return e.config.Prefix.ReplySubject(e.config.Source, id) }

// body reads that of a reply.
func (e *Export) body(ctx context.Context, r outbox.Reply) (*replyBody, error) {
	if r.BodyObject == "" {
		return &replyBody{Reader: bytes.NewReader(r.Body)}, nil
	}
	from, err := e.bodies.Open(ctx, r.BodyObject, -1)
	if err != nil {
		return nil, lost(err)
	}
	body := &replyBody{Reader: from, export: e, object: r.BodyObject}
	if r.Unseal != nil {
		body.Reader = r.Unseal(from)
	}
	return body, nil
}

// lost is the error of a body that could not be read: another REQUEST brings it again.
func lost(err error) error {
	if errors.Is(err, outbox.ErrPermission) {
		return err
	}
	return passing{err}
}

// replyBody is the body of a reply.
type replyBody struct {
	io.Reader
	export *Export
	object string // "" where it was in the message
}

func (b *replyBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = lost(err)
	}
	return n, err
}

// drop removes a body that was read. What is left, for want of the right to, workers remove a day
// later.
func (b *replyBody) drop(ctx context.Context) {
	if b.object == "" || !strings.HasPrefix(b.object, b.export.config.Source+"/reply-") {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), late)
	defer cancel()
	_ = b.export.bodies.Delete(ctx, b.object)
}

// readAll reads a body of up to limit bytes, and drops it.
func (e *Export) readAll(ctx context.Context, r outbox.Reply, limit int64) ([]byte, error) {
	b, err := e.body(ctx, r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(b, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, &outbox.SizeError{What: "manifest of the export", Size: -1, Limit: limit, Name: "limit for manifests"}
	}
	b.drop(ctx)
	return text, nil
}
