package topology

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

const (
	// askTimeout and askTries bound each question. In a cluster nobody answers
	// for a stream or consumer that has no leader yet, which is so for a moment
	// after another process has created it.
	askTimeout = time.Second
	askTries   = 6
	// apiParallel bounds the requests in flight.
	apiParallel = 8
)

// step is one stream that differs: its changes, and the one write
// that makes those of them that can be made.
type step struct {
	kind, name string
	changes    []Change
	write      func(context.Context, jetstream.JetStream) error // nil: nothing to write
}

func (s *step) add(a Action, detail string) {
	s.changes = append(s.changes, Change{Kind: s.kind, Name: s.name, Action: a, Detail: detail})
}

// look compares all there is with all there should be. When nothing differs it costs one
// request for each stream.
func (t Topology) look(ctx context.Context, js jetstream.JetStream) ([]step, error) {
	js = jsapi.Present(js)
	want := t.Streams()
	steps := make([]step, len(want))
	// The work queue by itself, so that what is wrong with all is said once.
	if err := t.lookStream(ctx, js, want[0], &steps[0]); err != nil {
		return nil, err
	}
	err := each(len(want)-1, func(i int) error { return t.lookStream(ctx, js, want[i+1], &steps[i+1]) })
	if err != nil {
		return nil, err
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

// lookStream fills s.
func (t Topology) lookStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, s *step) error {
	s.kind, s.name = label(want.Name)
	stream, err := ask(ctx, js, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, want.Name) })
	missing := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !missing {
		return jsapi.Explain(err, js, "look at "+s.kind+" "+s.name)
	}
	if missing {
		s.add(Create, "")
		s.write = func(ctx context.Context, js jetstream.JetStream) error { return create(ctx, js, want) }
		return nil
	}
	if want.MaxConsumers > 0 && stream.CachedInfo().Config.MaxConsumers <= 0 {
		want.MaxConsumers = allowedConsumers(ctx, js, want)
	}
	d := streamDrift(want, stream.CachedInfo())
	for _, c := range d.changes {
		s.add(c.Action, c.Detail)
	}
	if d.updated() {
		s.write = func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.UpdateStream(ctx, d.have)
			return err
		}
	}
	return nil
}

// create makes a stream. Where the account has a bound of its own for consumers, the server
// takes no greater one, and the account's counts for a stream without any.
func create(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	_, err := js.CreateStream(ctx, want)
	if want.MaxConsumers > 0 && jsapi.Code(err) == jsapi.CodeMaxConsumers {
		want.MaxConsumers = -1
		_, err = js.CreateStream(ctx, want)
	}
	return err
}

// allowedConsumers is the bound that create sets. What this user may not ask is not known.
func allowedConsumers(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) int {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return want.MaxConsumers
	}
	limits := account.Limits
	if tier, ok := account.Tiers["R"+strconv.Itoa(want.Replicas)]; ok {
		limits = tier.Limits
	}
	if limits.MaxConsumers > 0 && limits.MaxConsumers < want.MaxConsumers {
		return -1
	}
	return want.MaxConsumers
}

// label is how users know the stream.
func label(stream string) (kind, name string) {
	if bucket, ok := strings.CutPrefix(stream, streams.BucketPrefix); ok {
		return "bucket", bucket
	}
	if store, ok := strings.CutPrefix(stream, streams.ObjectPrefix); ok {
		return "object store", store
	}
	return "stream", stream
}

// ask repeats a question that nobody answers, unless the server has refused it.
func ask[T any](ctx context.Context, js jetstream.JetStream, question func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err := question(once)
		cancel()
		if err == nil || !jsapi.Unanswered(err) || try == askTries || ctx.Err() != nil || jsapi.Forbidden(js.Conn()) != nil {
			return answer, err
		}
	}
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
			if errs[i] = f(i); jsapi.Unanswered(errs[i]) {
				silent.Store(true)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
