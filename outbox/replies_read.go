package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// handle yields one reply, and settles it when the loop goes on.
func (r *Replies) handle(ctx context.Context, msg jetstream.Msg, lease time.Duration, yield func(*Received, error) bool) bool {
	stop := keep(msg, lease)
	defer stop()
	reply, err := received(msg)
	if err == nil {
		err = reply.mustBeSealed(r.config.RequireSeal)
	}
	if err == nil && (reply.BodyObject != "" || reply.Sealed()) {
		err = r.complete(ctx, reply, func(err error) bool { return yield(nil, err) })
	}
	if errors.Is(err, errLeft) || ctx.Err() != nil || !yield(reply, err) {
		return false // and it comes again
	}
	stop()
	if reply.again != nil {
		// When that is lost, it comes again after AckWait.
		_ = msg.NakWithDelay(*reply.again)
		return true
	}
	// The ack of what is done is not given up because ctx ends.
	confirm, cancel := context.WithTimeout(context.WithoutCancel(ctx), jsapi.Timeout)
	defer cancel()
	// Without a confirmation it comes again, like after a crash.
	if msg.DoubleAck(confirm) == nil {
		r.mu.Lock()
		if reply.Stored.After(r.done) {
			r.done = reply.Stored
		}
		r.mu.Unlock()
	}
	return true
}

// keep tells the server that a reply is being handled, until what it returns is called.
func keep(msg jetstream.Msg, lease time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var marks sync.WaitGroup
	marks.Go(func() {
		for jsapi.Sleep(ctx, min(lease/3, repliesMark)) {
			_ = msg.InProgress() // the next one is not far
		}
	})
	return func() {
		cancel()
		marks.Wait()
	}
}

// received decodes a reply.
func received(msg jetstream.Msg) (*Received, error) {
	got := &Received{Subject: msg.Subject(), Deliveries: 1}
	if meta, err := msg.Metadata(); err == nil {
		got.Sequence, got.Stored, got.Deliveries = meta.Sequence.Stream, meta.Timestamp, int(min(meta.NumDelivered, 1<<30))
	}
	var err error
	got.Reply, err = DecodeReply(&nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()})
	return got, err
}

// errLeft says that the loop was left.
var errLeft = errors.New("the loop was left")

// complete opens a sealed reply and fetches its body. What a wait may mend it tells, and tries again.
func (r *Replies) complete(ctx context.Context, reply *Received, tell func(error) bool) error {
	for pause := repliesFirstPause; ; pause = min(2*pause, repliesLastPause) {
		opened, opening, err := reply.Open(r.config.Ring, r.config.Prefix, r.config.Source)
		if err == nil {
			reply.Reply = opened
			if opened.BodyObject != "" {
				err = reply.fetch(ctx, r.bodies, opening, r.config.MaxClaim, r.config.LeaveBodies)
			}
		}
		if err == nil || seal.Decided(err) || errors.Is(err, ErrBodyMissing) || errors.Is(err, ErrBodyAltered) || errors.As(err, new(*SizeError)) {
			return err
		}
		if r.config.Ring == nil && errors.Is(err, seal.ErrAway) {
			return err
		}
		if ctx.Err() != nil || !tell(err) || !jsapi.Sleep(ctx, pause) {
			return errLeft
		}
	}
}
