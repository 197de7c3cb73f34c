package overview

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

const (
	// atOnce bounds the questions about single lanes that are open.
	atOnce = 16
	// mostBytes bounds what is read of messages, which come with their bodies.
	mostBytes = 32 << 20
	// inHand is what consumers tell of.
	inHand = "what workers have in hand"
)

// lookAtLanes asks about the first lanes what was delivered of them and since when they wait.
func (x *gathering) lookAtLanes(ctx context.Context) {
	lanes := x.view.Lanes[:min(len(x.view.Lanes), x.config.Lanes)]
	if len(lanes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	queue := x.config.Prefix.OutStream()
	stream, err := x.js.Stream(ctx, queue)
	if err != nil {
		x.learn(inHand, err, info(queue))
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		if !x.listed {
			err := x.lookInHand(ctx, stream, lanes)
			x.learn(inHand, err, "CONSUMER.INFO."+queue+".*")
			x.counted = err == nil
		}
	})
	both.Go(func() {
		x.learn("how long the oldest messages have waited", x.lookAtOldest(ctx, lanes), get(queue))
	})
	both.Wait()
	for i := range lanes { // by what is known now
		lanes[i].Why = x.why(&lanes[i])
	}
	x.counted = false // of those after the first nothing is
	x.orderLanes()
}

// countInHand sums up what was delivered, where that is known of all lanes.
func (x *gathering) countInHand() {
	if x.view.Queue == nil || !x.listed && len(x.view.Lanes) > x.config.Lanes {
		return
	}
	inHand := 0
	for _, l := range x.view.Lanes {
		inHand += l.InHand
	}
	x.view.Queue.InHand = &inHand
}

// lookInHand asks the consumers; a lane without one has nothing in hand.
func (x *gathering) lookInHand(ctx context.Context, stream jetstream.Stream, lanes []Lane) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range lanes {
		l := &lanes[i]
		group.Go(func() error {
			consumer, err := stream.Consumer(ctx, x.config.Prefix.LaneConsumer(l.Source, l.Lane))
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil
			}
			if err == nil {
				l.delivered(consumer.CachedInfo())
			}
			return err
		})
	}
	return group.Wait()
}

// delivered takes what the consumer of the lane says.
func (l *Lane) delivered(info *jetstream.ConsumerInfo) {
	l.InHand = max(l.Sending, int(min(l.Messages, uint64(max(info.NumAckPending, 0)))))
	l.Redelivered = info.NumRedelivered
}

// lookAtOldest reads the first message of the lanes.
func (x *gathering) lookAtOldest(ctx context.Context, lanes []Lane) error {
	var read atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range lanes {
		l := &lanes[i]
		var mu sync.Mutex
		for _, subject := range x.subjectsOf(l) {
			group.Go(func() error {
				if read.Load() > mostBytes {
					return nil
				}
				stored, bytes, err := tally.Oldest(ctx, x.js, x.config.Prefix.OutStream(), subject)
				if err != nil || stored.IsZero() {
					return err
				}
				read.Add(int64(bytes))
				mu.Lock()
				defer mu.Unlock()
				l.Age = max(l.Age, x.now.Sub(stored))
				return nil
			})
		}
	}
	return group.Wait()
}

// subjectsOf are those under which messages of a lane are stored.
func (x *gathering) subjectsOf(l *Lane) (subjects []string) {
	if l.Lane == contract.LaneRequest {
		return []string{x.config.Prefix.RequestSubject(l.Source)}
	}
	if l.Messages > l.Ordered {
		subjects = append(subjects, x.config.Prefix.SendSubject(l.Source))
	}
	if l.Ordered > 0 {
		subjects = append(subjects, x.config.Prefix.OrderedSubject(l.Source, "*"))
	}
	return subjects
}
