package overview

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

// deadSample is of how many of the newest dead letters the reasons are read.
const deadSample = 200

// deadCount is what an earlier look found, and of which state of the stream.
type deadCount struct {
	state jetstream.StreamState
	dead  *Dead
}

// lookAtDead counts the dead letters, if they have changed.
func (x *gathering) lookAtDead(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout+subjectsTimeout)
	defer cancel()
	once, cancelOnce := context.WithTimeout(ctx, x.config.Timeout)
	defer cancelOnce()
	stream, err := x.js.Stream(once, x.config.Prefix.DeadStream())
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	x.Gatherer.mu.Lock()
	before := x.Gatherer.dead
	x.Gatherer.mu.Unlock()
	dead := before.dead
	if dead == nil || before.state.Msgs != state.Msgs || before.state.FirstSeq != state.FirstSeq || before.state.LastSeq != state.LastSeq {
		if dead, err = x.countDead(ctx, stream, state); err == nil {
			x.Gatherer.mu.Lock()
			x.Gatherer.dead = deadCount{state, dead}
			x.Gatherer.mu.Unlock()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.view.Dead = dead
	return err
}

func (x *gathering) countDead(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState) (*Dead, error) {
	dead := &Dead{Messages: state.Msgs}
	if state.Msgs == 0 {
		return dead, nil
	}
	dead.Oldest, dead.Newest = state.FirstTime, state.LastTime
	err := x.countLetters(ctx, stream, state, dead)
	if err != nil {
		return dead, err
	}
	return dead, x.reasons(ctx, stream, state, dead)
}

// countLetters counts them by source and settlement; where they are many, by settlement alone.
func (x *gathering) countLetters(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState, dead *Dead) error {
	dead.Settlements = map[outbox.Settlement]uint64{}
	if state.NumSubjects > uint64(x.config.Subjects) {
		for _, settlement := range [...]outbox.Settlement{outbox.Rejected, outbox.Expired, outbox.Exhausted, outbox.Held, outbox.Poison} {
			n, err := x.pending(ctx, stream, x.config.Prefix.DeadSubject("*", string(settlement), "*"))
			if err != nil {
				return err
			}
			if n > 0 {
				dead.Settlements[settlement] = n
			}
		}
		return nil
	}
	began := time.Now()
	letters, err := tally.OfLetters(ctx, x.config.Prefix, stream)
	if err != nil {
		return err
	}
	x.costs(int(state.NumSubjects), began)
	dead.Sources = map[string]uint64{}
	for letter, n := range letters {
		dead.Sources[letter.Source] += n
		dead.Settlements[letter.Settlement] += n
	}
	return nil
}

// browse makes a consumer of dead letters, which end ends.
func (x *gathering) browse(ctx context.Context, stream jetstream.Stream, c jetstream.ConsumerConfig) (consumer jetstream.Consumer, end func(), err error) {
	c.AckPolicy, c.HeadersOnly, c.MemoryStorage, c.Replicas, c.InactiveThreshold = jetstream.AckNonePolicy, true, true, 1, 10*time.Second
	if consumer, err = stream.CreateConsumer(ctx, c); err != nil {
		return nil, nil, err
	}
	return consumer, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.config.Timeout)
		defer cancel()
		_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
	}, nil
}

// pending counts what is stored under a filter, as a consumer of it would be told.
func (x *gathering) pending(ctx context.Context, stream jetstream.Stream, filter string) (uint64, error) {
	consumer, end, err := x.browse(ctx, stream, jetstream.ConsumerConfig{FilterSubject: filter})
	if err != nil {
		return 0, err
	}
	defer end()
	return consumer.CachedInfo().NumPending, nil
}

// reasons reads the headers of the newest dead letters.
func (x *gathering) reasons(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState, dead *Dead) error {
	from := state.FirstSeq
	if state.LastSeq-from >= deadSample {
		from = state.LastSeq - deadSample + 1
	}
	consumer, end, err := x.browse(ctx, stream, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from})
	if err != nil {
		return err
	}
	defer end()
	batch, err := consumer.FetchNoWait(deadSample)
	if err != nil {
		return err
	}
	counts := map[DeadReason]int{}
	for msg := range batch.Messages() {
		in := outbox.Stored{Subject: msg.Subject(), Header: msg.Headers()}
		if letter, err := dlq.Decode(x.config.Prefix, in); err == nil {
			counts[DeadReason{Settlement: letter.Settlement, Reason: letter.Error}]++
			dead.Sample++
		}
	}
	for r, n := range counts {
		r.Messages = n
		dead.Reasons = append(dead.Reasons, r)
	}
	slices.SortFunc(dead.Reasons, func(a, b DeadReason) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Settlement, b.Settlement), cmp.Compare(a.Reason, b.Reason))
	})
	return batch.Error()
}
