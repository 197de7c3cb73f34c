package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// Limiter grants requests under a limit that this worker shares with others.
//
// Its methods are called from many goroutines at once, Acquire for every attempt: while
// there is enough for all it should neither allocate nor ask anybody.
type Limiter interface {
	// Acquire waits until one more request of the source may be made, for as long as ctx
	// lasts; with a ctx that has ended it answers at once. One that fails before is asked again a
	// second later. REQUESTs go before SENDs. done
	// must be called once, when the request is answered or will not be made: sent says
	// whether it was, or may have been.
	Acquire(ctx context.Context, source string, lane outbox.Lane) (done func(sent bool), err error)
	// Failed says that a request of the source, which was granted and made, was in vain: its
	// message will be tried again. It is called before done, so that the limiter can keep
	// failing messages of one source from using up what others wait for.
	Failed(source string)
}

// scarceWait is how long a follower waits in the worker's hand for what it needs to be sent,
// before it is given back to be taken by whoever has it.
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

// Value answers the grant itself, so that a context of its own costs an attempt nothing.
func (g *grant) Value(key any) any {
	if key == (grantKey{}) {
		return g
	}
	return g.leasedContext.Value(key)
}

// end gives the grant back; sent says that the request was made although nobody said so.
func (g *grant) end(sent bool) {
	if g.done != nil {
		g.done(sent || g.used.Load())
		g.done = nil
	}
}

// endGrant gives the request of an attempt back that was judged.
func (w *Worker) endGrant(d *delivery) {
	if w.config.Limiter != nil && d.grant.done != nil && d.verdict.counted && d.verdict.action == retry {
		w.config.Limiter.Failed(d.message.Source)
	}
	d.grant.end(d.verdict.counted)
}

// Granted reports whether the request that is about to be made is the one that the Limiter
// granted to the attempt of this context. It says so once: a [Deliverer] that makes more
// than one request in an attempt, as for a new token or an upload, has each further one
// granted by the Limiter itself. It is safe for concurrent use.
func Granted(ctx context.Context) bool {
	g, ok := ctx.Value(grantKey{}).(*grant)
	return ok && !g.used.Swap(true)
}
