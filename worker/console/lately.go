package console

import (
	"context"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// lately has one look serve all who ask within a while. Whoever asks during a look gets what comes of it, an
// error as well: nobody waits for the look of another and then for one of their own.
type lately[T any] struct {
	group singleflight.Group

	mu    sync.Mutex
	found T // is not changed
	at    time.Time
	round uint64 // another one after each deed
}

// get is what was found for no longer than keep ago, or what look finds within limit. A client that goes away
// ends no look, which others wait for.
func (l *lately[T]) get(ctx context.Context, keep, limit time.Duration, look func(context.Context) (T, error)) (T, error) {
	l.mu.Lock()
	found, fresh, round := l.found, time.Since(l.at) < keep, l.round
	l.mu.Unlock()
	if fresh {
		return found, nil
	}
	came, err, _ := l.group.Do(strconv.FormatUint(round, 10), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		found, err := look(ctx)
		if err == nil {
			l.keep(found, round)
		}
		return found, err
	})
	return came.(T), err
}

func (l *lately[T]) keep(found T, round uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.round == round { // else it may not show what was done meanwhile
		l.found, l.at = found, time.Now()
	}
}

// forget has whoever asks from now on get a look that begins from now on.
func (l *lately[T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at = time.Time{}
	l.round++
}
