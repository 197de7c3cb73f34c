package overview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/order"
)

const (
	// subjectsTimeout bounds the answer to that.
	subjectsTimeout = 5 * time.Second
	// atOnce bounds the questions for single messages that are open.
	atOnce = 16
	// mostBytes bounds what is read of them: a message comes with its body.
	mostBytes = 32 << 20
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

// lookAtQueue counts what is stored by its subject, since an idle source has no consumer, and
// what was delivered by its consumer.
func (x *gathering) lookAtQueue(ctx context.Context) {
	queue := x.config.Prefix.OutStream()
	stream, state, err := x.state(ctx)
	if err != nil {
		x.learn(theQueue, err, info(queue))
		return
	}
	consumers, err := x.consumers(ctx, stream, state.State.Msgs)
	x.learn("what workers have in hand", err, "CONSUMER.LIST."+queue)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.now = state.TimeStamp
	x.view.Queue = x.rates(state)
	x.countSubjects(state.State.Subjects)
	if state.State.NumSubjects > uint64(x.config.Subjects) {
		x.countConsumers(consumers)
	}
	x.countInHand(consumers)
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
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err == nil {
		g.costs(perSubject, len(info.State.Subjects))
	}
	return info, err
}

func (g *Gatherer) costs(each time.Duration, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cost += time.Duration(n) * each
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

// consumers of the queue, by name; none are asked for where nothing is stored.
func (x *gathering) consumers(ctx context.Context, stream jetstream.Stream, messages uint64) (map[string]*jetstream.ConsumerInfo, error) {
	found := map[string]*jetstream.ConsumerInfo{}
	if messages == 0 {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*x.config.Timeout)
	defer cancel()
	list := stream.ListConsumers(ctx)
	for info := range list.Info() { // always to its end: the lister sends on
		found[info.Name] = info
	}
	x.costs(perConsumer, len(found))
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return found, err
	}
	return found, nil
}

// countSubjects makes the lanes and finds the tokens with several messages.
func (x *gathering) countSubjects(subjects map[string]uint64) {
	lanes := map[string]*Lane{}
	for subject, n := range subjects {
		source, kind, token, _ := x.config.Prefix.ParseOut(subject)
		if kind == "" {
			x.view.Queue.Astray += n
			continue
		}
		name := x.config.Prefix.LaneConsumer(source, kind)
		l := lanes[name]
		if l == nil {
			l = &Lane{Source: source, Lane: outbox.LaneSend}
			if kind == outbox.LaneRequest {
				l.Lane = kind
			}
			lanes[name] = l
		}
		l.Messages += n
		if kind == outbox.LaneOrdered {
			l.Ordered += n
			if n > 1 && token != "" {
				x.crowd(order.State{Source: source, Token: token, Messages: n})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		x.view.Lanes = append(x.view.Lanes, *lanes[name])
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
	lanes := make(map[string]*Lane, len(x.view.Lanes))
	var known uint64
	for i := range x.view.Lanes {
		l := &x.view.Lanes[i]
		lanes[x.config.Prefix.LaneConsumer(l.Source, l.Lane)] = l
		known += l.Messages
	}
	var more []Lane
	for _, name := range slices.Sorted(maps.Keys(consumers)) {
		info := consumers[name]
		source, kind, ok := x.config.Prefix.ParseLaneConsumer(name)
		n := info.NumPending + uint64(max(0, info.NumAckPending))
		switch l := lanes[name]; {
		case !ok || n == 0:
		case l == nil:
			more = append(more, Lane{Source: source, Lane: kind, Messages: n, Ordered: n})
			known += n
		case n > l.Messages:
			l.Ordered += n - l.Messages
			known += n - l.Messages
			l.Messages = n
		}
	}
	x.view.Lanes = append(x.view.Lanes, more...)
	why := fmt.Sprintf("the queue has more than %d subjects", x.config.Subjects)
	if all := x.view.Queue.Messages; all > known {
		x.doubts = append(x.doubts, doubt{"whose " + counted(all-known, "message") + " are that no worker has a consumer for", why})
	}
	x.doubts = append(x.doubts, doubt{"what ordered messages wait behind (redoxworker order ls)", why})
}

func (x *gathering) countInHand(consumers map[string]*jetstream.ConsumerInfo) {
	for i := range x.view.Lanes {
		l := &x.view.Lanes[i]
		if info := consumers[x.config.Prefix.LaneConsumer(l.Source, l.Lane)]; info != nil {
			l.InHand = int(min(l.Messages, uint64(max(info.NumAckPending, 0))))
			l.Redelivered = info.NumRedelivered
		}
	}
}

// lookAtOldest reads the first message of the first lanes.
func (x *gathering) lookAtOldest(ctx context.Context) error {
	if len(x.view.Lanes) == 0 || x.config.Oldest == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	stream, err := x.js.Stream(ctx, x.config.Prefix.OutStream())
	if err != nil {
		return err
	}
	var read atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range min(len(x.view.Lanes), x.config.Oldest) {
		l := &x.view.Lanes[i]
		var mu sync.Mutex
		for _, subject := range x.subjectsOf(l) {
			group.Go(func() error {
				if read.Load() > mostBytes {
					return nil
				}
				msg, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
				if errors.Is(err, jetstream.ErrMsgNotFound) {
					return nil // settled meanwhile
				}
				if err != nil {
					return err
				}
				read.Add(int64(len(msg.Data)))
				mu.Lock()
				defer mu.Unlock()
				l.Age = max(l.Age, x.now.Sub(msg.Time))
				return nil
			})
		}
	}
	return group.Wait()
}

// subjectsOf are those under which messages of a lane are stored.
func (x *gathering) subjectsOf(l *Lane) (subjects []string) {
	if l.Lane == outbox.LaneRequest {
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
