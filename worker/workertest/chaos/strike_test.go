package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/redoxworker/redoxworker/worker/internal/backoff"
)

func (b *Bench) note(i Interruption) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.record.Interruptions = append(b.record.Interruptions, i)
	return len(b.record.Interruptions) - 1
}

// Run carries a plan out until it is done or ctx ends, and mends what it broke before it
// returns. Events of one target follow each other; one that comes while the target is
// still down waits.
func (b *Bench) Run(ctx context.Context, p Plan) error {
	start := time.Now()
	lines := map[string][]Event{}
	for _, e := range p.Events {
		name := fmt.Sprint(e.NATS, e.Target)
		if e.NATS {
			name = "nats" // one server at a time: two of three are a majority
		}
		lines[name] = append(lines[name], e)
	}
	var all sync.WaitGroup
	errs := make(chan error, len(p.Events))
	for _, line := range lines {
		all.Go(func() {
			for _, e := range line {
				backoff.Sleep(ctx, time.Until(start.Add(e.At)))
				if ctx.Err() != nil {
					return
				}
				if err := b.strike(ctx, e); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	var failed []error
	for err := range errs {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// strike breaks something, waits, and mends it.
func (b *Bench) strike(ctx context.Context, e Event) error {
	target, n, err := b.target(ctx, e)
	if err != nil || ctx.Err() != nil {
		return err
	}
	at := b.note(Interruption{Fault: e.Fault, Target: target.name, NATS: e.NATS, From: time.Now()})
	switch e.Fault {
	case Kill:
		target.kill()
	case Stop:
		err = target.signal(syscall.SIGSTOP)
	case Partition:
		n.isolate(true)
	}
	backoff.Sleep(ctx, e.For)
	switch e.Fault {
	case Kill:
		err = target.start()
	case Stop:
		err = errors.Join(err, target.signal(syscall.SIGCONT))
	case Partition:
		n.isolate(false)
	}
	if e.NATS {
		err = errors.Join(err, b.servers.ready())
	}
	to := time.Now()
	if e.NATS && len(b.servers.nodes) > 1 {
		to = to.Add(elections)
	}
	b.mu.Lock()
	b.record.Interruptions[at].To = to
	b.mu.Unlock()
	return err
}

// elections is how long a node that is back may unsettle the others: it may make each
// stream and consumer elect its leader anew, which takes 4 to 9 s.
const elections = 10 * time.Second

// target of an event; n is nil for a worker.
func (b *Bench) target(ctx context.Context, e Event) (*process, *node, error) {
	if !e.NATS {
		return b.workers[e.Target], nil, nil
	}
	if e.Target != Leader {
		n := b.servers.nodes[e.Target]
		return n.process, n, nil
	}
	var leader string
	err := eventually(time.Minute, "a leader of the work queue", func() bool {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		s, err := b.js.Stream(ask, b.prefix.OutStream())
		if err == nil && s.CachedInfo().Cluster != nil {
			leader = s.CachedInfo().Cluster.Leader
		}
		return leader != "" || ctx.Err() != nil
	})
	for _, n := range b.servers.nodes {
		if n.name == leader {
			return n.process, n, nil
		}
	}
	if ctx.Err() != nil {
		return nil, nil, nil
	}
	return nil, nil, errors.Join(err, fmt.Errorf("no leader of the work queue: %q", leader))
}

// Stopped waits until a worker has stopped itself, as at a fail point, and records that.
func (b *Bench) Stopped(worker int) error {
	p := b.workers[worker]
	err := eventually(2*time.Minute, p.name+" is stopped", p.stopped)
	b.note(Interruption{Fault: Stop, Target: p.name, From: time.Now()})
	return err
}

// Continue lets a stopped worker go on.
func (b *Bench) Continue(worker int) error {
	p := b.workers[worker]
	b.mu.Lock()
	for i := range b.record.Interruptions {
		if j := &b.record.Interruptions[i]; j.Target == p.name && j.To.IsZero() {
			j.To = time.Now()
		}
	}
	b.mu.Unlock()
	return p.signal(syscall.SIGCONT)
}

// Arrived waits until the far side has seen a message.
func (b *Bench) Arrived(id string) error {
	return eventually(2*time.Minute, id+" arrived", func() bool {
		return slices.ContainsFunc(b.witness.requests(), func(q Request) bool { return q.ID == id })
	})
}
