package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// apiTimeout bounds each write by itself: one that the server refuses is
	// never answered and would use up the caller's whole time.
	apiTimeout = 5 * time.Second
	// askTimeout and askTries bound each question. In a cluster nobody answers
	// for a stream or consumer that has no leader yet, which is so for a moment
	// after another process has created it.
	askTimeout = time.Second
	askTries   = 6
	// apiParallel bounds the requests in flight.
	apiParallel = 8
)

// step is one stream or consumer that differs: its changes, and the one write
// that makes those of them that can be made.
type step struct {
	kind, name string
	changes    []Change
	write      func(context.Context, jetstream.JetStream) error // nil: nothing to write
	consumer   bool
}

func (s *step) add(a Action, detail string) {
	s.changes = append(s.changes, Change{Kind: s.kind, Name: s.name, Action: a, Detail: detail})
}

// look compares all there is with all there should be. When nothing differs it
// costs one request for each stream and one for each 256 consumers.
func (t Topology) look(ctx context.Context, js jetstream.JetStream) ([]step, error) {
	js = present(js)
	want := t.Streams()
	steps := make([]step, len(want), len(want)+len(t.Sources))
	// The work queue by itself, so that what is wrong with all is said once.
	out, err := t.lookStream(ctx, js, want[0], &steps[0])
	if err != nil {
		return nil, err
	}
	var advisories jetstream.Stream
	err = each(len(want)-1, func(i int) error {
		stream, err := t.lookStream(ctx, js, want[i+1], &steps[i+1])
		if want[i+1].Name == t.Prefix.AdvisoryStream() {
			advisories = stream
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	consumers, err := t.lookConsumers(ctx, js, out)
	if err != nil {
		return nil, err
	}
	sweeper, err := t.lookSweeper(ctx, js, advisories)
	if err != nil {
		return nil, err
	}
	steps = append(append(steps, consumers...), sweeper)
	if t.Reconcile > 0 {
		one, err := t.lookReconciler(ctx, js)
		if err != nil {
			return nil, err
		}
		steps = append(steps, one)
	}
	return compact(steps), nil
}

func compact(steps []step) []step {
	var kept []step
	for _, s := range steps {
		if len(s.changes) > 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// lookStream fills s and returns the stream, nil if there is none.
func (t Topology) lookStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, s *step) (jetstream.Stream, error) {
	s.kind, s.name = label(want.Name)
	stream, err := ask(ctx, js, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, want.Name) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.add(Create, "")
		s.write = func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateStream(ctx, want)
			return err
		}
		return nil, nil
	}
	if err != nil {
		return nil, explain(err, js, "look at "+s.kind+" "+s.name)
	}
	d := streamDrift(t.Prefix, want, stream.CachedInfo())
	if d.repartition {
		if err := d.checkPartitions(ctx, js, stream, t); err != nil {
			return nil, explain(err, js, "look at the partitions of "+s.name)
		}
	}
	for _, c := range d.changes {
		s.add(c.Action, c.Detail)
	}
	if d.updated() {
		s.write = func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.UpdateStream(ctx, d.have)
			if err == nil && d.move {
				_, err = t.Repartition(ctx, js, false, nil)
			}
			return err
		}
	}
	return stream, nil
}

// label is how users know the stream.
func label(stream string) (kind, name string) {
	if bucket, ok := strings.CutPrefix(stream, bucketStream); ok {
		return "bucket", bucket
	}
	if store, ok := strings.CutPrefix(stream, objectStream); ok {
		return "object store", store
	}
	return "stream", stream
}

// lookConsumers compares the consumers; out is nil when the work queue does
// not exist yet.
func (t Topology) lookConsumers(ctx context.Context, js jetstream.JetStream, out jetstream.Stream) ([]step, error) {
	have, err := listConsumers(ctx, js, out)
	if err != nil {
		return nil, explain(err, js, "list the consumers of "+t.Prefix.OutStream())
	}
	want := t.Consumers()
	steps := make([]step, len(want))
	err = each(len(want), func(i int) error {
		w := want[i]
		info := have[w.Name]
		if info == nil && out != nil {
			// In a cluster the list lacks consumers whose leader did not answer in time.
			found, err := findConsumer(ctx, js, out, w.Name)
			if err != nil {
				return explain(err, js, "look at consumer "+w.Name)
			}
			info = found
		}
		steps[i] = consumerStep(t.Prefix.OutStream(), w, info)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return append(steps, t.leftovers(have)...), nil
}

func listConsumers(ctx context.Context, js jetstream.JetStream, out jetstream.Stream) (map[string]*jetstream.ConsumerInfo, error) {
	if out == nil {
		return nil, nil
	}
	return ask(ctx, js, func(ctx context.Context) (map[string]*jetstream.ConsumerInfo, error) {
		have := make(map[string]*jetstream.ConsumerInfo)
		list := out.ListConsumers(ctx)
		for info := range list.Info() { // always to its end: the lister sends on
			have[info.Name] = info
		}
		return have, list.Err()
	})
}

// findConsumer returns nil if there is none of that name.
func findConsumer(ctx context.Context, js jetstream.JetStream, out jetstream.Stream, name string) (*jetstream.ConsumerInfo, error) {
	c, err := ask(ctx, js, func(ctx context.Context) (jetstream.Consumer, error) { return out.Consumer(ctx, name) })
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return c.CachedInfo(), nil
}

// ask repeats a question that nobody answers, unless the server has refused it.
func ask[T any](ctx context.Context, js jetstream.JetStream, question func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err := question(once)
		cancel()
		if err == nil || !unanswered(err) || try == askTries || ctx.Err() != nil || forbidden(js.Conn()) != nil {
			return answer, err
		}
	}
}

// lookSweeper compares the consumer of the advisories; stream is nil when there is none yet.
func (t Topology) lookSweeper(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream) (step, error) {
	want := t.sweeper()
	have, err := listConsumers(ctx, js, stream)
	if err != nil {
		return step{}, explain(err, js, "list the consumers of "+t.Prefix.AdvisoryStream())
	}
	return consumerStep(t.Prefix.AdvisoryStream(), want, have[want.Name]), nil
}

// consumerStep is what to do about one consumer; have is nil if it is missing.
func consumerStep(stream string, want jetstream.ConsumerConfig, have *jetstream.ConsumerInfo) step {
	s := step{kind: "consumer", name: want.Name, consumer: true}
	if have == nil {
		s.add(Create, "")
		s.write = func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.CreateConsumer(ctx, stream, want)
			return err
		}
		return s
	}
	d := consumerInUse(want, have)
	for _, c := range d.changes {
		s.add(c.Action, c.Detail)
	}
	if d.updated() {
		s.write = func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.UpdateConsumer(ctx, stream, d.have)
			return err
		}
	}
	return s
}

// leftovers reports consumers of partitions that the stream no longer has.
// Those of other sources belong to other fleets.
func (t Topology) leftovers(have map[string]*jetstream.ConsumerInfo) []step {
	var steps []step
	for _, source := range t.Sources {
		for n := t.Partitions; n < maxPartitions; n++ {
			name := t.Prefix.OrderedConsumer(source, n)
			if have[name] == nil {
				continue
			}
			s := step{kind: "consumer", name: name}
			s.add(Leave, fmt.Sprintf("its partition is beyond the %d configured: delete it when the queue has no more than these and it has nothing pending and nothing in flight", t.Partitions))
			steps = append(steps, s)
		}
	}
	return steps
}

// each calls f for 0 to n-1, some at a time, and joins the errors. After a
// request without an answer it begins no other: the rest would wait as long.
func each(n int, f func(i int) error) error { return eachOf(n, apiParallel, f) }

func eachOf(n, parallel int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	var silent atomic.Bool
	slots := make(chan struct{}, parallel)
	for i := range n {
		slots <- struct{}{}
		if silent.Load() {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if errs[i] = f(i); unanswered(errs[i]) {
				silent.Store(true)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
