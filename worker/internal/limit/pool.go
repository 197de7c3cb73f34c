package limit

import "sync"

// Pool runs jobs on goroutines that it keeps. A new goroutine for each message would
// grow its stack twice on the way to the far side: 6 % of a busy worker's processor time.
// Of those that wait, the one that worked last works next: its stack is still as large as it
// must be, and in the processor's cache, while those that are not needed stay small.
type Pool[T any] struct {
	run  func(T)
	size int // how many goroutines are kept
	all  sync.WaitGroup

	mu     sync.Mutex
	alive  int
	idle   []chan T // to goroutines that wait; the last has worked last
	closed bool
}

// NewPool returns a pool that keeps so many goroutines at most, and has run called for each job.
func NewPool[T any](size int, run func(T)) *Pool[T] {
	return &Pool[T]{run: run, size: size}
}

// Start has a job run on a goroutine that waits for one, else on a new one. It does not
// block; how many run at once is for the slots to bound.
func (p *Pool[T]) Start(job T) {
	if next := p.hire(); next != nil {
		next <- job
		return
	}
	p.all.Go(func() { p.work(job) })
}

// hire picks a goroutine that waits; nil when there is none, and one more is to be started.
func (p *Pool[T]) hire() chan<- T {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		p.alive++
		return nil
	}
	next := p.idle[last]
	p.idle = p.idle[:last]
	return next
}

func (p *Pool[T]) work(job T) {
	next := make(chan T, 1) // room for one, so that Start does not block
	counted := true
	defer func() { // also after a runtime.Goexit in run
		if counted {
			p.leave()
		}
	}()
	for ok := true; ok; job, ok = <-next {
		p.run(job)
		if counted = p.rest(next); !counted {
			return
		}
	}
}

func (p *Pool[T]) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alive--
}

// rest has the goroutine wait for its next job, unless there are enough that do: then
// it is not counted any more.
func (p *Pool[T]) rest(next chan T) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.alive > p.size {
		p.alive--
		return false
	}
	p.idle = append(p.idle, next)
	return true
}

// Wait returns when all jobs have ended. No Start may follow.
func (p *Pool[T]) Wait() {
	p.mu.Lock()
	p.closed = true
	for _, next := range p.idle {
		close(next)
	}
	p.idle = nil
	p.mu.Unlock()
	p.all.Wait()
}
