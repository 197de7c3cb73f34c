package quota

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// far counts the requests that arrive, as Redox does.
type far struct {
	t        *testing.T
	limit    int
	per      time.Duration
	mu       sync.Mutex
	arrivals []time.Time
}

func (f *far) arrive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	f.arrivals = append(f.arrivals, now)
	if n := len(f.arrivals); n > f.limit && now.Sub(f.arrivals[n-1-f.limit]) < f.per {
		f.t.Errorf("at %v: %d requests within %v, the limit is %d in %v", now.Format("15:04:05.000"), f.limit+1, now.Sub(f.arrivals[n-1-f.limit]), f.limit, f.per)
	}
}

// used is the share of the limit that arrived between two moments.
func (f *far) used(from, to time.Time) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, at := range f.arrivals {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return float64(n) / (float64(f.limit) * float64(to.Sub(from)) / float64(f.per))
}

func (f *far) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.arrivals)
}

// wireStore is a book at some distance: every call takes a while, and faults can be made.
// Its clock is not that of the workers.
type wireStore struct {
	*memoryStore
	ahead time.Duration // of the keeper's clock
	delay func() time.Duration
	fault func(op string) error // nil error: none; errAfter: done and yet failed
	saves *atomic.Int64
}

var (
	errCut   = errors.New("cut off")
	errAfter = errors.New("the answer was lost")
	errFull  = &jetstream.APIError{Code: 503, ErrorCode: 10077, Description: "maximum bytes exceeded"}
)

func (s *wireStore) travel(ctx context.Context) error {
	select {
	case <-time.After(s.delay()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *wireStore) call(ctx context.Context, op string, do func() error) error {
	fault := s.fault(op)
	switch {
	case errors.Is(fault, errCut):
		<-ctx.Done()
		return fault
	case fault != nil && !errors.Is(fault, errAfter):
		return errors.Join(s.travel(ctx), fault)
	}
	if err := s.travel(ctx); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	if err := s.travel(ctx); err != nil {
		return err
	}
	return fault
}

func (s *wireStore) load(ctx context.Context) (data []byte, revision uint64, err error) {
	err = s.call(ctx, "load", func() error { data, revision, _ = s.memoryStore.load(ctx); return nil })
	return data, revision, err
}

func (s *wireStore) save(ctx context.Context, data []byte, revision uint64) error {
	return s.call(ctx, "save", func() error {
		err := s.memoryStore.save(ctx, data, revision)
		if err == nil {
			s.saves.Add(1)
		}
		return err
	})
}

func (s *wireStore) time(ctx context.Context) (at time.Time, err error) {
	err = s.call(ctx, "time", func() error { at = time.Now().Add(s.ahead); return nil })
	return at, err
}

// fleetRig is a far side and workers that share one book, in a bubble of fake time
// (synctest): its sleeps take none.
type fleetRig struct {
	*testing.T
	far     *far
	cfg     Config
	book    *memoryStore
	latency func() time.Duration // of an answer
	mu      sync.Mutex
	saves   atomic.Int64
	cut     map[string]bool
	broken  error // what every call meets
	full    bool  // nothing can be saved
	flaky   float64
	slow    time.Duration // the most that a way to the book takes
	random  *rand.Rand
	all     []*member
}

// member is one worker with an endless backlog.
type member struct {
	*Governor
	name string
	stop func() // gracefully
	kill func()
	dead bool
}

func newFleetRig(t *testing.T, cfg Config, seed uint64) *fleetRig {
	cfg = cfg.WithDefaults()
	r := &fleetRig{T: t, cfg: cfg, far: &far{t: t, limit: cfg.Requests, per: cfg.Per}, book: &memoryStore{},
		cut: map[string]bool{}, slow: 2 * time.Millisecond, random: rand.New(rand.NewPCG(seed, 1))}
	r.latency = func() time.Duration { return r.between(5*time.Millisecond, 60*time.Millisecond) }
	return r
}

func (r *fleetRig) between(from, to time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return from + time.Duration(r.random.Int64N(int64(to-from)))
}

func (r *fleetRig) store(m *member) *wireStore {
	return &wireStore{memoryStore: r.book, ahead: 17 * time.Minute, saves: &r.saves,
		delay: func() time.Duration { return r.between(100*time.Microsecond, r.slow) },
		fault: func(op string) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			switch {
			case m.dead || r.cut[m.name]:
				return errCut
			case r.broken != nil:
				return r.broken
			case r.full && op == "save":
				return errFull
			case op == "save" && r.random.Float64() < r.flaky:
				return errAfter
			}
			return nil
		}}
}

// join starts a worker; senders is how many requests it makes at one time.
func (r *fleetRig) join(name string, senders int) *member {
	g, err := New(Config{Requests: r.cfg.Requests, Per: r.cfg.Per, Reserve: r.cfg.Reserve, ID: name})
	if err != nil {
		r.Fatal(err)
	}
	m := &member{Governor: g, name: name}
	working, stopWorking := context.WithCancel(context.Background())
	turning, stopTurning := context.WithCancel(context.Background())
	var senderGroup, turner sync.WaitGroup
	turner.Go(func() { g.run(turning, r.store(m)) })
	for range senders {
		senderGroup.Go(func() {
			for {
				if _, sent := r.request(working, m, "a", classSend); !sent {
					return
				}
			}
		})
	}
	m.stop = sync.OnceFunc(func() { stopWorking(); senderGroup.Wait(); stopTurning(); turner.Wait() })
	m.kill = func() {
		r.mu.Lock()
		m.dead = true
		r.mu.Unlock()
		m.stop()
	}
	r.all = append(r.all, m)
	return m
}

// request makes one request as soon as it may, and answers how long it had to wait in the
// time of its bubble.
func (r *fleetRig) request(ctx context.Context, m *member, source string, c class) (waited time.Duration, sent bool) {
	began := time.Now()
	done, err := m.acquire(ctx, source, c)
	if err != nil {
		return 0, false
	}
	waited = time.Since(began)
	r.mu.Lock()
	dead := m.dead
	r.mu.Unlock()
	if dead {
		return 0, false
	}
	took := r.latency()
	on := r.between(0, took+1)
	bubble.Sleep(on)
	r.far.arrive()
	bubble.Sleep(took - on)
	done(true)
	return waited, true
}

func (r *fleetRig) end() {
	for _, m := range r.all {
		m.stop()
	}
}

func percentile(list []time.Duration, p float64) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[int(math.Ceil(float64(len(list))*p))-1]
}
