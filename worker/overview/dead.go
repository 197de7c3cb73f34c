package overview

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
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
	if state.NumSubjects > mostSubjects {
		return dead, errors.New("they are too many to be counted by source; see `redoxworker dlq ls --counts`")
	}
	info, err := x.subjects(ctx, stream, x.config.Prefix.String()+".dlq.>")
	if err != nil {
		return dead, err
	}
	dead.Sources, dead.Settlements = map[string]uint64{}, map[outbox.Settlement]uint64{}
	for subject, n := range info.State.Subjects {
		source, rest, _ := strings.Cut(strings.TrimPrefix(subject, x.config.Prefix.String()+".dlq."), ".")
		settlement, _, _ := strings.Cut(rest, ".")
		dead.Sources[source] += n
		dead.Settlements[outbox.Settlement(settlement)] += n
	}
	return dead, x.reasons(ctx, stream, state, dead)
}

// reasons reads the headers of the newest dead letters.
func (x *gathering) reasons(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState, dead *Dead) error {
	from := state.FirstSeq
	if state.LastSeq-from >= deadSample {
		from = state.LastSeq - deadSample + 1
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		InactiveThreshold: 10 * time.Second, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.config.Timeout)
		defer cancel()
		_ = stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)
	}()
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
