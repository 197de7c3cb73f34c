package worker

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/worker/internal/breaker"
)

// interrupts ends pulls that have become pointless: those of a source that was paused,
// and single pulls that a lost connection took with it.
type interrupts struct {
	breaker *breaker.Breaker
	conn    *nats.Conn

	mu    sync.Mutex
	pulls map[*interruptible]struct{}
}

type interruptible struct {
	source string
	window int // messages that it may have in hand; 0 when it is not resized
	until  until
	cancel context.CancelFunc
}

// until says what interrupts.
type until uint8

const (
	untilPause     until = 1 << iota // the source is paused
	untilReconnect                   // the connection was lost and is back
)

func newInterrupts(conn *nats.Conn, b *breaker.Breaker) *interrupts {
	return &interrupts{conn: conn, breaker: b, pulls: make(map[*interruptible]struct{})}
}

// watch returns a context that ends as until says. stop must be called.
func (i *interrupts) watch(ctx context.Context, source string, until until) (_ context.Context, stop func()) {
	return i.watchWindow(ctx, source, until, 0)
}

// watchWindow is watch for a pull of many messages: its context ends also when so many are
// out of proportion.
func (i *interrupts) watchWindow(ctx context.Context, source string, until until, window int) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	p := &interruptible{source: source, until: until, window: window, cancel: cancel}
	i.mu.Lock()
	i.pulls[p] = struct{}{}
	i.mu.Unlock()
	if state, _, _ := i.breaker.State(source); until&untilPause != 0 && state == breaker.Paused {
		cancel() // paused between the caller's look and now
	}
	return ctx, func() {
		cancel()
		i.mu.Lock()
		delete(i.pulls, p)
		i.mu.Unlock()
	}
}

// run interrupts until ctx ends.
func (i *interrupts) run(ctx context.Context) {
	status := i.conn.StatusChanged(nats.CONNECTED)
	defer i.conn.RemoveStatusListener(status)
	for {
		_, _, changed := i.breaker.State("")
		i.cancel(func(p *interruptible) bool {
			state, _, _ := i.breaker.State(p.source)
			return p.until&untilPause != 0 && state == breaker.Paused
		})
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case _, ok := <-status:
			if !ok {
				status = nil // the connection is closed for good
				continue
			}
			i.cancel(func(p *interruptible) bool { return p.until&untilReconnect != 0 })
		}
	}
}

// resized ends pulls whose window is out of proportion to one that is opened now.
func (i *interrupts) resized(window int) {
	i.cancel(func(p *interruptible) bool { return p.window > 4*window || p.window > 0 && 4*p.window < window })
}

func (i *interrupts) cancel(which func(*interruptible) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for p := range i.pulls {
		if which(p) {
			p.cancel()
		}
	}
}
