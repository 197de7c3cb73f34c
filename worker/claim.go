package worker

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// A claim-checked message has its body in the object store; see [outbox.Bodies]. The body
// is fetched when everything else says that the message is to be sent, and it is in memory
// for the attempt alone.

// claim fetches the body of a claim-checked message once there is memory for it, or prepares a
// stream where the Deliverer reads the body itself.
func (w *Worker) claim(d *delivery) (decided bool) {
	body, err := w.bodies.OpenOpened(d.ctx, d.message.BodyObject, w.config.MaxClaim, d.opening)
	if err != nil {
		return d.decide(w.unclaimed(d, err))
	}
	if w.config.StreamFiles && d.message.Kind == outbox.KindFile {
		d.stream = &stream{worker: w, name: d.message.BodyObject, opening: d.opening}
		d.message.OpenBody, d.message.BodySize = d.stream.open, d.opening.SizeOf(body)
		return false
	}
	if err := w.waitForRoom(d, d.opening.SizeOf(body)); err != nil {
		if w.pulling.Err() != nil && d.ctx.Err() == nil {
			return d.decide(verdict.Verdict{Action: verdict.Wait, Text: "the worker is stopping"})
		}
		return d.decide(w.unclaimed(d, err))
	}
	if d.message.Body, err = d.opening.ReadAll(body); err != nil {
		w.dropBody(d)
		return d.decide(w.unclaimed(d, err))
	}
	return false
}

// waitForRoom waits for memory until the lease is lost or the worker stops.
func (w *Worker) waitForRoom(d *delivery, size int64) error {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	defer context.AfterFunc(w.pulling, cancel)()
	give, err := w.memory.Take(ctx, d.puller.source, size)
	if err != nil {
		return err
	}
	w.metrics.Claimed.Add(float64(size))
	d.room = func() {
		give()
		w.metrics.Claimed.Sub(float64(size))
	}
	return nil
}

// dropBody releases the memory of a claim-checked body.
func (w *Worker) dropBody(d *delivery) {
	if d.room == nil {
		return
	}
	d.message.Body = nil
	d.room()
	d.room = nil
}

// dropAnswer releases the answer and its memory: a message that is not settled is sent again, and
// without a reply subject nobody reads the answer.
func (w *Worker) dropAnswer(d *delivery) {
	d.verdict.Answer.Body = nil
	d.leased.answer.End()
}

// unclaimed is the verdict about a message whose body could not be fetched.
func (w *Worker) unclaimed(d *delivery, err error) verdict.Verdict {
	switch {
	case errors.As(err, new(*outbox.SizeError)):
		return verdict.Verdict{Settlement: outbox.Poison, Text: "claim check: " + err.Error()}
	case !errors.Is(err, outbox.ErrBodyMissing) && !errors.Is(err, outbox.ErrBodyAltered) && !seal.Decided(err):
		return w.postpone(d, err)
	case !w.keeper.Holds(d.lease):
		// Whoever has the message by now may have delivered it and removed its body.
		return verdict.Verdict{Action: verdict.Abandon, Text: "lease lost"}
	case seal.Decided(err):
		return verdict.Verdict{Settlement: outbox.Held, Text: sealText(err)}
	default:
		return verdict.Verdict{Settlement: outbox.Held, Text: "claim check: " + err.Error()}
	}
}

// stream is a body that the Deliverer reads from the object store itself. It remembers a read
// error: the far side then received a truncated request, and its answer proves nothing.
type stream struct {
	worker  *Worker
	name    string
	opening outbox.Opening

	mu  sync.Mutex
	err error
}

func (s *stream) open(ctx context.Context) (io.ReadCloser, error) {
	body, err := s.worker.bodies.OpenOpened(ctx, s.name, s.worker.config.MaxClaim, s.opening)
	if err != nil {
		s.failed(ctx, err)
		return nil, err
	}
	return &streamReader{Reader: s.opening.Reader(body), Closer: body, ctx: ctx, stream: s}, nil
}

// failed notes a read error, unless it is due to the end of the attempt.
func (s *stream) failed(ctx context.Context, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && ctx.Err() == nil {
		s.err = err
	}
}

// failure returns the read error; nil if there was none or the body is no stream.
func (s *stream) failure() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

type streamReader struct {
	io.Reader
	io.Closer
	ctx    context.Context
	stream *stream
}

func (r *streamReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.stream.failed(r.ctx, err)
	}
	return n, err
}
