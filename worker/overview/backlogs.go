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
	// atOnce bounds the questions about single backlogs that are open.
	atOnce = 16
	// mostBytes bounds what is read of messages, which come with their bodies.
	mostBytes = 32 << 20
	// inHand is what consumers tell of.
	inHand = "what workers have in hand"
)

// lookAtBacklogs asks about the first backlogs what was delivered of them and since when they wait.
func (x *gathering) lookAtBacklogs(ctx context.Context) {
	backlogs := x.view.Backlogs[:min(len(x.view.Backlogs), x.config.Backlogs)]
	if len(backlogs) == 0 {
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
			err := x.lookInHand(ctx, stream, backlogs)
			x.learn(inHand, err, "CONSUMER.INFO."+queue+".*")
			x.counted = err == nil
		}
	})
	both.Go(func() {
		x.learn("how long the oldest messages have waited", x.lookAtOldest(ctx, backlogs), get(queue))
	})
	both.Wait()
	for i := range backlogs { // by what is known now
		backlogs[i].Why = x.why(&backlogs[i])
	}
	x.counted = false // of those after the first nothing is
	x.orderBacklogs()
}

// countInHand sums up what was delivered, where that is known of all backlogs.
func (x *gathering) countInHand() {
	if x.view.Queue == nil || !x.listed && len(x.view.Backlogs) > x.config.Backlogs {
		return
	}
	inHand := 0
	for _, b := range x.view.Backlogs {
		inHand += b.InHand
	}
	x.view.Queue.InHand = &inHand
}

// lookInHand asks the consumers; a backlog without one has nothing in hand.
func (x *gathering) lookInHand(ctx context.Context, stream jetstream.Stream, backlogs []Backlog) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range backlogs {
		b := &backlogs[i]
		group.Go(func() error {
			consumer, err := stream.Consumer(ctx, x.config.Prefix.LaneConsumer(b.Source, b.Lane))
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil
			}
			if err == nil {
				b.delivered(consumer.CachedInfo())
			}
			return err
		})
	}
	return group.Wait()
}

// delivered takes what the consumer of the backlog says.
func (b *Backlog) delivered(info *jetstream.ConsumerInfo) {
	b.InHand = max(b.Sending, int(min(b.Messages, uint64(max(info.NumAckPending, 0)))))
	b.Redelivered = info.NumRedelivered
}

// lookAtOldest reads the first message of the backlogs.
func (x *gathering) lookAtOldest(ctx context.Context, backlogs []Backlog) error {
	var read atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range backlogs {
		b := &backlogs[i]
		var mu sync.Mutex
		for _, subject := range x.subjectsOf(b) {
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
				b.Age = max(b.Age, x.now.Sub(stored))
				return nil
			})
		}
	}
	return group.Wait()
}

// subjectsOf are those under which messages of a backlog are stored.
func (x *gathering) subjectsOf(b *Backlog) (subjects []string) {
	if b.Lane == contract.LaneRequest {
		return []string{x.config.Prefix.RequestSubject(b.Source)}
	}
	if b.Messages > b.Ordered {
		subjects = append(subjects, x.config.Prefix.SendSubject(b.Source))
	}
	if b.Ordered > 0 {
		subjects = append(subjects, x.config.Prefix.OrderedSubject(b.Source, "*"))
	}
	return subjects
}
