package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// govern keeps a quota for workers of the rig until the returned function is called.
func (r *rig) govern(cfg quota.Config) (*quota.Governor, func()) {
	r.Helper()
	g, err := quota.New(cfg)
	if err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); g.Run(ctx, r.js) }()
	return g, func() { cancel(); <-ended }
}

// inHand counts the messages of a consumer that some worker has.
func (r *rig) inHand(consumer string) int {
	r.Helper()
	c, err := r.consumer(consumer)
	if err != nil {
		r.Fatal(err)
	}
	return c.CachedInfo().NumAckPending
}

// within counts the most calls of any window, and those between two moments.
func (r *rig) within(window time.Duration, from, to time.Time) (most, between int) {
	calls := r.far.Calls()
	first := 0
	for i, c := range calls {
		for c.Start.Sub(calls[first].Start) >= window {
			first++
		}
		most = max(most, i-first+1)
		if !c.Start.Before(from) && c.Start.Before(to) {
			between++
		}
	}
	return most, between
}

func answerIn(d time.Duration) func(context.Context, outbox.Message, int) (outbox.Answer, error) {
	return func(context.Context, outbox.Message, int) (outbox.Answer, error) {
		bubble.Sleep(d)
		return outbox.Answer{Status: 200}, nil
	}
}

// A backlog drains at the rate of the quota, and hardly more is pulled than can be sent.
func TestLimiter_BacklogDrainsAtTheQuota(t *testing.T) {
	for _, workers := range []int{1, 3} {
		inBubble(t, func(r *rig) {
			r.far.Answer = answerIn(20 * time.Millisecond)
			for i := range 600 {
				r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
				if i%2 == 0 {
					r.ordered(fmt.Sprint("o", i), fmt.Sprint("patient ", i))
				}
			}
			for i := range workers {
				limiter, stop := r.govern(quota.Config{Requests: 50, Per: 5 * time.Second, Reserve: 0.2, ID: fmt.Sprint("w", i)})
				defer stop()
				defer r.start(worker.Config{ID: fmt.Sprint("w", i), Limiter: limiter})()
			}
			bubble.Sleep(6 * time.Second)
			from := time.Now()
			for range 40 {
				bubble.Sleep(time.Second)
				if n := r.inHand("clinic-a-send"); n > 3*workers {
					t.Fatalf("%d workers hold %d messages while 10 a second may be sent", workers, n)
				}
			}
			most, n := r.within(5*time.Second, from, time.Now())
			if most > 50 {
				t.Errorf("%d workers: %d requests within 5s, the quota is 50", workers, most)
			}
			if n < 388 {
				t.Errorf("%d workers: %d of 400 requests were used while there was a backlog", workers, n)
			}
		})
	}
}

// After a rest a burst goes out as fast as the far side answers.
func TestLimiter_BurstAfterARest(t *testing.T) {
	for _, governed := range []bool{false, true} {
		inBubble(t, func(r *rig) {
			r.far.Answer = answerIn(20 * time.Millisecond)
			var limiter worker.Limiter
			if governed {
				g, stop := r.govern(quota.Config{Requests: 7500, Per: 5 * time.Minute, Reserve: 0.2, ID: "w"})
				defer stop()
				limiter = g
			}
			defer r.start(worker.Config{Limiter: limiter, Concurrency: 64})()
			bubble.Sleep(10 * time.Minute)
			began := time.Now()
			for i := range 2000 {
				r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
			}
			r.until("all sent", func() bool { return len(r.far.Calls()) == 2000 })
			took := time.Since(began)
			t.Logf("governed %t: %v", governed, took)
			if took > 1500*time.Millisecond {
				t.Errorf("governed %t: it took %v", governed, took)
			}
		})
	}
}

// Queries overtake what is queued, also when it came first.
func TestLimiter_RequestsOvertakeBulk(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.far.Answer = answerIn(20 * time.Millisecond)
		for i := range 500 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		for i := range 3 {
			limiter, stop := r.govern(quota.Config{Requests: 50, Per: 5 * time.Second, Reserve: 0.2, ID: fmt.Sprint("w", i)})
			defer stop()
			defer r.start(worker.Config{ID: fmt.Sprint("w", i), Limiter: limiter})()
		}
		bubble.Sleep(12 * time.Second)
		published := map[string]time.Time{}
		for i := range 20 {
			id := fmt.Sprint("q", i)
			published[id] = time.Now()
			r.publish(outbox.Message{ID: id, Lane: contract.LaneRequest, ReplyTo: "_INBOX.caller"})
			bubble.Sleep(430 * time.Millisecond)
		}
		r.until("all queries sent", func() bool { return len(r.far.Of("q19")) == 1 })
		var waits []time.Duration
		for id, at := range published {
			waits = append(waits, r.far.Of(id)[0].Start.Sub(at))
		}
		slices.Sort(waits)
		if p99 := waits[len(waits)-1]; p99 >= 200*time.Millisecond {
			t.Errorf("a query waited %v behind bulk, want under two intervals of 100ms; all: %v", p99, waits)
		}
		if most, _ := r.within(5*time.Second, time.Time{}, time.Time{}); most > 50 {
			t.Errorf("%d requests within 5s", most)
		}
	})
}

// tallied counts what pullers of REQUESTs were granted.
type tallied struct {
	worker.Limiter
	requests atomic.Int64
}

func (l *tallied) Acquire(ctx context.Context, source string, lane contract.Lane) (func(bool), error) {
	done, err := l.Limiter.Acquire(ctx, source, lane)
	if lane == contract.LaneRequest && err == nil {
		l.requests.Add(1)
	}
	return done, err
}

// Pullers without a REQUEST do not hand the slots of a scarce quota round among themselves.
func TestLimiter_IdlePullersOfRequestsRest(t *testing.T) {
	sources := []string{"clinic-a", "clinic-b", "clinic-c"}
	inBubble(t, func(r *rig) {
		for i := range 500 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		governor, stop := r.govern(quota.Config{Requests: 50, Per: 5 * time.Second, Reserve: 0.2, ID: "w"})
		defer stop()
		limiter := &tallied{Limiter: governor}
		var all []worker.Source
		for _, name := range sources {
			all = append(all, worker.Source{Name: name})
		}
		defer r.start(worker.Config{Limiter: limiter, Sources: all})()
		bubble.Sleep(6 * time.Second)
		from, before := time.Now(), limiter.requests.Load()
		bubble.Sleep(20 * time.Second)
		if n := limiter.requests.Load() - before; n > 20*3*25 {
			t.Errorf("three idle pullers were granted %d requests in 20s", n)
		}
		if _, n := r.within(5*time.Second, from, time.Now()); n < 194 {
			t.Errorf("%d of 200 requests were used while there was a backlog", n)
		}
		r.publish(outbox.Message{ID: "query", Source: "clinic-c", Lane: contract.LaneRequest, ReplyTo: "_INBOX.caller"})
		asked := time.Now()
		r.until("the query is sent", func() bool { return len(r.far.Of("query")) == 1 })
		if waited := r.far.Of("query")[0].Start.Sub(asked); waited >= 200*time.Millisecond {
			t.Errorf("a query waited %v, want under two intervals of 100ms", waited)
		}
	})
}

// A limiter that grants nothing: nothing is sent, nothing counted, little held.
func TestLimiter_NothingGrantedNothingSent(t *testing.T) {
	inBubble(t, func(r *rig) {
		for i := range 100 {
			r.publish(outbox.Message{ID: fmt.Sprint("m", i)})
		}
		stop := r.start(worker.Config{Limiter: closed{}})
		bubble.Sleep(time.Minute)
		if n := r.inHand("clinic-a-send"); n != 0 || len(r.far.Calls()) != 0 {
			t.Errorf("%d messages held, %d calls", n, len(r.far.Calls()))
		}
		stop()
		r.start(worker.Config{})
		r.until("all delivered", func() bool { return len(r.all(worker.EventSettled)) == 100 })
		for _, e := range r.all(worker.EventSettled) {
			if e.Attempt != 1 {
				t.Errorf("%s: %d attempts", e.MessageID, e.Attempt)
			}
		}
	})
}

type closed struct{}

func (closed) Acquire(ctx context.Context, _ string, _ contract.Lane) (func(bool), error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
func (closed) Failed(string) {}

// The request that was granted is told apart from others of the attempt, once; one that
// was not made is given back.
func TestGranted_OncePerAttempt(t *testing.T) {
	inBubble(t, func(r *rig) {
		l := &counting{}
		for id, deliver := range map[string]func(ctx context.Context) error{
			"made":     func(ctx context.Context) error { worker.Granted(ctx); worker.Granted(ctx); return nil },
			"not-said": func(context.Context) error { return nil },
			"not-made": func(context.Context) error { return worker.NotAttempted(worker.Permanent(errors.New("refused")), "") },
			"said": func(ctx context.Context) error {
				worker.Granted(ctx)
				return worker.NotAttempted(worker.Permanent(errFar), "")
			},
		} {
			l.sent.Store(0)
			l.given.Store(0)
			var first, second bool
			r.far.Answer = func(ctx context.Context, _ outbox.Message, _ int) (outbox.Answer, error) {
				if id == "made" {
					first, second = worker.Granted(ctx), worker.Granted(ctx)
				}
				return outbox.Answer{}, deliver(ctx)
			}
			stop := r.start(worker.Config{Limiter: l})
			r.publish(outbox.Message{ID: id})
			r.awaitSettled(id)
			stop()
			want := int32(1)
			if id == "not-made" {
				want = 0
			}
			if l.sent.Load() != want || l.given.Load() < l.sent.Load() {
				t.Errorf("%s: %d of %d granted requests count as sent, want %d", id, l.sent.Load(), l.given.Load(), want)
			}
			if id == "made" && (!first || second) {
				t.Errorf("granted %v, then %v; want true, then false", first, second)
			}
		}
	})
}

// counting grants everything and counts.
type counting struct{ given, sent, failed atomic.Int32 }

func (c *counting) Acquire(context.Context, string, contract.Lane) (func(bool), error) {
	return func(sent bool) {
		c.given.Add(1)
		if sent {
			c.sent.Add(1)
		}
	}, nil
}
func (c *counting) Failed(string) { c.failed.Add(1) }

// The limiter hears of every request in vain, and of none that settles its message or was not
// made.
func TestLimiter_HearsOfRequestsInVain(t *testing.T) {
	inBubble(t, func(r *rig) {
		l := &counting{}
		r.far.Answer = func(_ context.Context, m outbox.Message, call int) (outbox.Answer, error) {
			switch {
			case m.ID == "refused":
				return outbox.Answer{Status: 400}, worker.Permanent(errFar)
			case m.ID == "not-made" && call == 1:
				return outbox.Answer{}, worker.NotAttempted(errFar, "")
			case m.ID == "failing" && call < 4:
				return outbox.Answer{Status: 500}, errFar
			}
			return outbox.Answer{Status: 200}, nil
		}
		defer r.start(worker.Config{Limiter: l})()
		for _, id := range []string{"good", "refused", "not-made", "failing"} {
			r.publish(outbox.Message{ID: id})
			r.awaitSettled(id)
		}
		if l.failed.Load() != 3 {
			t.Errorf("%d requests in vain, want 3", l.failed.Load())
		}
	})
}

// refusing fails so many times, as a limiter does whose store is away, and grants then.
type refusing struct{ left atomic.Int32 }

func (f *refusing) Acquire(context.Context, string, contract.Lane) (func(bool), error) {
	if f.left.Add(-1) >= 0 {
		return nil, errFar
	}
	return func(bool) {}, nil
}
func (*refusing) Failed(string) {}

// A limiter that fails is asked again after a while, not all the time.
func TestLimiter_OneThatFailsIsLeftAloneForAMoment(t *testing.T) {
	inBubble(t, func(r *rig) {
		l := &refusing{}
		l.left.Store(3)
		r.start(worker.Config{Limiter: l})
		start := time.Now()
		r.awaitSettled(r.publish(outbox.Message{}))
		if took := time.Since(start); took < 2*time.Second {
			t.Errorf("asked 4 times within %v", took)
		}
	})
}
