package dlq

import (
	"context"
	"sync"
	"time"
)

const (
	// handleTimeout bounds the work on one dead letter.
	handleTimeout = 2 * time.Minute
	// lingerTimeout is how long what is under way may go on when ctx has ended.
	lingerTimeout = 30 * time.Second
)

// each works on the entries of s, several at the same time but never two of one
// order token, and yields in their order.
func (d *Store) each(ctx context.Context, s Selection, atOnce int, yield func(Handled, error) bool, handle func(context.Context, queueState, entry) (Handled, error)) {
	if atOnce == 0 {
		atOnce = defaultReplaysAtOnce
	}
	type result struct {
		handled Handled
		err     error
	}
	for rest := s.entries; len(rest) > 0; {
		if ctx.Err() != nil {
			yield(Handled{}, context.Cause(ctx))
			return
		}
		q, err := d.queueState(ctx)
		if err != nil {
			yield(Handled{}, err)
			return
		}
		some := window(rest, atOnce)
		rest = rest[len(some):]
		results := make([]result, len(some))
		var all sync.WaitGroup
		for i, e := range some {
			all.Go(func() { results[i].handled, results[i].err = handle(ctx, q, e) })
		}
		all.Wait()
		var failed error
		for _, r := range results {
			if r.err != nil {
				if failed == nil {
					failed = r.err
				}
				continue
			}
			if !yield(r.handled, nil) {
				return
			}
		}
		if failed != nil {
			yield(Handled{}, failed)
			return
		}
	}
}

// lingering is ctx for what must not be left half done: it ends some time after ctx.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), handleTimeout)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(lingerTimeout):
			cancel()
		case <-work.Done():
		}
	})
	return work, func() { stop(); cancel() }
}
