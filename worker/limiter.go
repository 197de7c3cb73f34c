package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Limiter grants requests under a limit that this worker shares with others.
//
// Its methods are called from many goroutines at once, Acquire for every attempt. While there is
// enough for all, Acquire should neither allocate nor make a request.
type Limiter interface {
	// Acquire waits until the source may make one more request, for as long as ctx lasts. If ctx
	// has ended already it returns at once. REQUESTs go before SENDs. After an error the worker
	// asks again a second later. The worker calls done once, when the request is answered or will
	// not be made; sent reports whether it was made, or may have been.
	Acquire(ctx context.Context, source string, lane outbox.Lane) (done func(sent bool), err error)
	// Failed reports that a request of the source was granted and made in vain: its message will
	// be tried again. The worker calls it before done, so that the limiter can keep failing
	// messages of one source from using up what others wait for.
	Failed(source string)
}

// scarceWait is how long a follower in hand waits for what it needs to be sent before it is
// handed back.
const scarceWait = 2 * time.Second

// ended is a context for asking without waiting.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// grantKey finds the grant of an attempt in its context.
type grantKey struct{}

// grant is the request that an attempt was granted.
type grant struct {
	*leasedContext // of the attempt
	done           func(sent bool)
	used           atomic.Bool
}

// Value returns the grant for its key, so that the attempt needs no context of its own for it.
func (g *grant) Value(key any) any {
	if key == (grantKey{}) {
		return g
	}
	return g.leasedContext.Value(key)
}

// end gives the grant back. sent says that the request was made although nobody used the grant.
func (g *grant) end(sent bool) {
	if g.done != nil {
		g.done(sent || g.used.Load())
		g.done = nil
	}
}

// endGrant gives back the grant of an attempt that was judged.
func (w *Worker) endGrant(d *delivery) {
	if w.config.Limiter != nil && d.grant.done != nil && d.verdict.counted && d.verdict.action == retry {
		w.config.Limiter.Failed(d.message.Source)
	}
	d.grant.end(d.verdict.counted)
}

// Granted reports whether the request that is about to be made is the one that the Limiter
// granted to the attempt of this context. It reports true once: a [Deliverer] that makes more
// than one request in an attempt, for a new token or an upload say, has the Limiter grant each
// further one. It is safe for concurrent use.
func Granted(ctx context.Context) bool {
	g, ok := ctx.Value(grantKey{}).(*grant)
	return ok && !g.used.Swap(true)
}
