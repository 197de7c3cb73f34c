package overview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
	"github.com/redoxworker/redoxworker/worker/order"
)

const (
	// subjectsTimeout bounds the answer to that.
	subjectsTimeout = 5 * time.Second
	// rateOver is the time over which rates are taken.
	rateOver = 30 * time.Second
)

// sample is the state of the queue at an earlier look.
type sample struct {
	at       time.Time
	last     uint64 // sequence
	messages uint64
	made     time.Time // of the stream
}

// lookAtQueue counts what is stored by its subject, since an idle source has no consumer. Only where
// there are too many subjects are the consumers listed, which costs the server five times as much.
func (x *gathering) lookAtQueue(ctx context.Context) {
	queue := x.config.Prefix.OutStream()
	stream, state, err := x.state(ctx)
	if err != nil {
		x.learn(theQueue, err, info(queue))
		return
	}
	many := state.State.NumSubjects > uint64(x.config.Subjects)
	var consumers map[string]*jetstream.ConsumerInfo
	if many {
		consumers, err = x.consumers(ctx, stream)
		x.learn(inHand, err, "CONSUMER.LIST."+queue)
		x.listed = err == nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = state.TimeStamp
	x.view.Queue = x.rates(state)
	x.countSubjects(state)
	if many {
		x.countConsumers(consumers)
	}
}

// state is that of the queue, with its subjects: where these are too many, but for those of order
// tokens, so that no more are asked for than there are sources.
func (x *gathering) state(ctx context.Context) (jetstream.Stream, *jetstream.StreamInfo, error) {
	once, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	stream, err := x.js.Stream(once, x.config.Prefix.OutStream())
	if err != nil {
		return nil, nil, err
	}
	state := stream.CachedInfo()
	filters := []string{x.config.Prefix.OutSubjects()}
	switch {
	case state.State.Msgs == 0:
		return stream, state, nil
	case state.State.NumSubjects > uint64(x.config.Subjects):
		filters = []string{x.config.Prefix.SendSubject("*"), x.config.Prefix.RequestSubject("*")}
	}
	ctx, cancel = context.WithTimeout(ctx, subjectsTimeout)
	defer cancel()
	all := make(map[string]uint64)
	for _, filter := range filters {
		if state, err = x.subjects(ctx, stream, filter); err != nil {
			return nil, nil, err
		}
		maps.Copy(all, state.State.Subjects)
	}
	state.State.Subjects = all
	return stream, state, nil
}

// subjects asks for how many messages each subject has, and notes what that costs.
func (g *Gatherer) subjects(ctx context.Context, stream jetstream.Stream, filter string) (*jetstream.StreamInfo, error) {
	began := time.Now()
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err == nil {
		g.costs(len(info.State.Subjects), began)
	}
	return info, err
}

// rates is the queue as a whole, and how fast it moved since earlier looks.
func (g *Gatherer) rates(info *jetstream.StreamInfo) *Queue {
	state := info.State
	q := &Queue{Messages: state.Msgs, Bytes: state.Bytes}
	if state.Msgs > 0 {
		q.Oldest, q.Age = state.FirstTime, max(0, info.TimeStamp.Sub(state.FirstTime))
	}
	now := sample{info.TimeStamp, state.LastSeq, state.Msgs, info.Created}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.samples = slices.DeleteFunc(g.samples, func(s sample) bool {
		return !s.made.Equal(now.made) || s.last > now.last || now.at.Sub(s.at) > rateOver
	})
	if len(g.samples) > 0 && now.at.Sub(g.samples[0].at) >= time.Second {
		before := g.samples[0]
		seconds := now.at.Sub(before.at).Seconds()
		in := float64(now.last-before.last) / seconds
		out := max(0, float64(now.last-before.last)-(float64(now.messages)-float64(before.messages))) / seconds
		q.In, q.Out = &in, &out
	}
	g.samples = append(g.samples, now)
	return q
}

// consumers of the queue, by name.
func (x *gathering) consumers(ctx context.Context, stream jetstream.Stream) (map[string]*jetstream.ConsumerInfo, error) {
	found, began := map[string]*jetstream.ConsumerInfo{}, time.Now()
	ctx, cancel := context.WithTimeout(ctx, 2*x.config.Timeout)
	defer cancel()
	list := stream.ListConsumers(ctx)
	for info := range list.Info() { // always to its end: the lister sends on
		found[info.Name] = info
	}
	x.costs(len(found), began)
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return found, err
	}
	return found, nil
}

// countSubjects makes the backlogs and finds the tokens with several messages.
func (x *gathering) countSubjects(state *jetstream.StreamInfo) {
	held := tally.OfQueue(x.config.Prefix, state, func(c tally.Crowd) {
		x.crowd(order.State{Source: c.Source, Token: c.Token, Messages: c.Messages})
	})
	x.view.Queue.Astray = held.Astray
	backlogs := map[string]*Backlog{}
	for waiting, n := range held.Messages {
		name := x.config.Prefix.LaneConsumer(waiting.Source, waiting.Lane)
		b := backlogs[name]
		if b == nil {
			b = &Backlog{Source: waiting.Source, Lane: contract.LaneSend}
			if waiting.Lane == contract.LaneRequest {
				b.Lane = waiting.Lane
			}
			backlogs[name] = b
		}
		b.Messages += n
		if waiting.Lane == contract.LaneOrdered {
			b.Ordered += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(backlogs)) {
		x.view.Backlogs = append(x.view.Backlogs, *backlogs[name])
	}
}

// crowd keeps the largest.
func (x *gathering) crowd(s order.State) {
	most := x.config.Heads
	bySize := func(a, b order.State) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Token, b.Token))
	}
	at, _ := slices.BinarySearchFunc(x.crowds, s, bySize)
	if at >= most {
		return
	}
	x.crowds = slices.Insert(x.crowds, at, s)
	x.crowds = x.crowds[:min(len(x.crowds), most)]
}

// countConsumers adds what is known of ordered messages where there are too many subjects: the
// consumers count those of sources that some worker has served.
func (x *gathering) countConsumers(consumers map[string]*jetstream.ConsumerInfo) {
	backlogs := make(map[string]*Backlog, len(x.view.Backlogs))
	var known uint64
	for i := range x.view.Backlogs {
		b := &x.view.Backlogs[i]
		backlogs[x.config.Prefix.LaneConsumer(b.Source, b.Lane)] = b
		known += b.Messages
	}
	var more []Backlog
	for _, name := range slices.Sorted(maps.Keys(consumers)) {
		info := consumers[name]
		source, lane, ok := x.config.Prefix.ParseLaneConsumer(name)
		n := info.NumPending + uint64(max(0, info.NumAckPending))
		switch b := backlogs[name]; {
		case !ok || n == 0:
		case b == nil:
			more = append(more, Backlog{Source: source, Lane: lane, Messages: n, Ordered: n})
			known += n
		case n > b.Messages:
			b.Ordered += n - b.Messages
			known += n - b.Messages
			b.Messages = n
		}
	}
	x.view.Backlogs = append(x.view.Backlogs, more...)
	for i := range x.view.Backlogs {
		b := &x.view.Backlogs[i]
		if info := consumers[x.config.Prefix.LaneConsumer(b.Source, b.Lane)]; info != nil {
			b.delivered(info)
		}
	}
	why := fmt.Sprintf("the queue has more than %d subjects", x.config.Subjects)
	if all := x.view.Queue.Messages; all > known {
		x.doubts = append(x.doubts, doubt{"whose " + counted(all-known, "message") + " are that no worker has a consumer for", why})
	}
	x.doubts = append(x.doubts, doubt{"what ordered messages wait behind (redoxworker order ls)", why})
}
