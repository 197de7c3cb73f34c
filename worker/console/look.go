package console

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/worker/overview"
)

const (
	// watched is for how long somebody who has asked is taken to look on; then it is looked every
	// idleLook only.
	watched, idleLook = time.Minute, 30 * time.Second
	// leastLook lies between two looks.
	leastLook = 2 * time.Second
	// stale is what one waits freshWait for to be replaced.
	stale, freshWait = 3 * time.Second, 200 * time.Millisecond
	// firstWait is how long the first look is waited for, and deedWait one that shows a deed.
	firstWait, deedWait = 8 * time.Second, 2 * time.Second
	// pointEvery lies between two points of the history, of which mostPoints are kept.
	pointEvery, mostPoints = 5 * time.Second, 120
)

// looker looks at what goes on, once for all who watch.
type looker struct {
	gather func(context.Context) overview.Overview
	pause  func() time.Duration
	wake   chan struct{}
	hurry  chan struct{}

	mu      sync.Mutex
	view    *overview.Overview // is not changed
	serial  uint64
	changed chan struct{} // closed when there is another view
	asked   time.Time
	began   time.Time // when view was asked for
	deed    time.Time // when something was done that it should show
	history []point
}

// point is what there was at one time.
type point struct {
	at            time.Time
	backlog, dead float64
	out           float64 // a second
}

func newLooker(gather func(context.Context) overview.Overview, pause func() time.Duration) *looker {
	return &looker{gather: gather, pause: pause, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), changed: make(chan struct{})}
}

func (l *looker) run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		view := l.gather(ctx)
		if ctx.Err() != nil {
			return
		}
		l.publish(&view, began)
		l.rest(ctx)
	}
}

// rest waits until it is time for the next look.
func (l *looker) rest(ctx context.Context) {
	least := time.NewTimer(max(leastLook, l.pause()))
	defer least.Stop()
	select {
	case <-least.C:
	case <-l.hurry:
		return
	case <-ctx.Done():
		return
	}
	if l.isWatched() {
		return
	}
	idle := time.NewTimer(idleLook)
	defer idle.Stop()
	select {
	case <-idle.C:
	case <-l.wake:
	case <-l.hurry:
	case <-ctx.Done():
	}
}

// done has the next who asks see what was done just now.
func (l *looker) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deed = time.Now()
	select {
	case l.hurry <- struct{}{}:
	default:
	}
}

func (l *looker) isWatched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.asked) < watched
}

func (l *looker) publish(view *overview.Overview, began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view, l.began = view, began
	l.serial++
	close(l.changed)
	l.changed = make(chan struct{})
	if n := len(l.history); view.Queue == nil || n > 0 && view.Taken.Sub(l.history[n-1].at) < pointEvery {
		return
	}
	p := point{at: view.Taken, backlog: float64(view.Queue.Messages)}
	if view.Dead != nil {
		p.dead = float64(view.Dead.Messages)
	}
	if view.Queue.Out != nil {
		p.out = *view.Queue.Out
	}
	l.history = append(l.history, p)
	l.history = l.history[max(0, len(l.history)-mostPoints):]
}

// now is the last view, its number, and what is closed when there is another. It says that somebody
// watches.
func (l *looker) now() (view *overview.Overview, serial uint64, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = time.Now()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return l.view, l.serial, l.changed
}

var errNothingKnown = errors.New("nothing is known yet: NATS has not answered")

// latest is the view to show.
func (l *looker) latest(ctx context.Context) (*overview.Overview, error) {
	limit := time.NewTimer(l.patience())
	defer limit.Stop()
	for {
		view, _, changed := l.now()
		if view != nil && l.patience() == 0 {
			return view, nil
		}
		select {
		case <-changed:
			continue
		case <-limit.C:
		case <-ctx.Done():
		}
		if view == nil {
			return nil, errNothingKnown
		}
		return view, nil
	}
}

// patience is how long another view is worth waiting for.
func (l *looker) patience() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.view == nil:
		return firstWait
	case l.began.Before(l.deed):
		return deedWait
	case time.Since(l.view.Taken) > stale:
		return freshWait
	}
	return 0
}

// past is a copy of the history.
func (l *looker) past() []point {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]point(nil), l.history...)
}
