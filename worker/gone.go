package worker

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The queue, or the consumer that delivered a message, may be gone when its attempt ends.

// unheard reports whether nobody took the acknowledgement because the consumer is gone: its
// source was given up, say. A slot must not wait for the next one.
func (s *settlement) unheard(err error) bool {
	w, d := s.worker, s.delivery
	if d.lease == nil || !errors.Is(err, nats.ErrNoResponders) {
		return false
	}
	_, err = w.js.Consumer(s.ctx(), w.config.Prefix.OutStream(), d.lane.consumer)
	return errors.Is(err, jetstream.ErrConsumerNotFound)
}

// outlived reports whether the message is gone with its queue, and an answer to the server
// would be about another that has its sequence now, or will have it. Nobody asks about a
// delivery that was quick.
func (w *Worker) outlived(d *delivery) bool {
	if d.lease == nil || time.Since(d.began) < w.config.AckWait/3 {
		return false
	}
	ctx, cancel := context.WithTimeout(w.settling, stepTimeout)
	defer cancel()
	queue, err := w.js.Stream(ctx, w.config.Prefix.OutStream())
	if err != nil {
		return false // without a queue there is nobody to answer either
	}
	if queue.CachedInfo().State.LastSeq >= d.lease.sequence {
		there, err := queue.GetMsg(ctx, d.lease.sequence)
		if err != nil || there.Time.UnixNano() == d.lease.stored {
			return false
		}
	}
	w.log.Warn("the queue was deleted and made anew while a message was in flight", "stream", w.config.Prefix.OutStream(),
		"message", d.message.ID, "source", d.message.Source, "sequence", d.message.Sequence)
	return true
}
