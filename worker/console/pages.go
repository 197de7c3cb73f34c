package console

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/worker/console/access"
)

const (
	// keptPages bounds the pages of dead letters that are kept, and pageFor is for how long one is shown to all
	// while the stream is as it was: what a filter says of the time moves on.
	keptPages, pageFor = 32, 15 * time.Second
	// pageTimeout bounds the reading of one, and stateTimeout the question whether it is needed.
	pageTimeout, stateTimeout = 20 * time.Second, 5 * time.Second
)

// letterPage is a page of dead letters, without bodies.
type letterPage struct {
	rows    []letterRow
	next    uint64
	scanned int
	bad     int // messages that no worker wrote
	at      time.Time
}

// letterPages has one look at dead letters serve all who ask for the same ones, as long as none has come or
// gone.
type letterPages struct {
	group singleflight.Group

	mu    sync.Mutex
	state string // of the stream, when the pages were read
	pages map[string]*letterPage
}

// page is what f and o select for who has the patterns of q.
func (p *letterPages) page(r *request, f filter, q dlq.Query, o dlq.PageOptions) (*letterPage, error) {
	c := r.console
	state, err := c.deadState(r.Context())
	if err != nil || o.Limit > shownLetters { // the first says better what is wrong when it is read
		return c.readLetters(r.Context(), q, o)
	}
	key := fmt.Sprintf("%q %d %d %q", f, o.Limit, o.Before, r.user.Patterns(access.See))
	if page := p.kept(state, key); page != nil {
		return page, nil
	}
	found, err, _ := p.group.Do(state+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), pageTimeout) // others wait for it, too
		defer cancel()
		page, err := c.readLetters(ctx, q, o)
		if err == nil {
			p.keep(state, key, page)
		}
		return page, err
	})
	if err != nil {
		return nil, err
	}
	return found.(*letterPage), nil
}

func (p *letterPages) kept(state, key string) *letterPage {
	p.mu.Lock()
	defer p.mu.Unlock()
	page := p.pages[key]
	if p.state != state || page == nil || time.Since(page.at) > pageFor {
		return nil
	}
	return page
}

func (p *letterPages) keep(state, key string, page *letterPage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state != state || len(p.pages) >= keptPages {
		p.state, p.pages = state, map[string]*letterPage{}
	}
	p.pages[key] = page
}

// deadState is another where a dead letter has come or gone.
func (c *Console) deadState(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	stream, err := c.config.JS.Stream(ctx, c.config.Prefix.DeadStream())
	if err != nil {
		return "", err
	}
	s := stream.CachedInfo()
	return fmt.Sprintf("%s %d %d %d ", s.Created, s.State.Msgs, s.State.FirstSeq, s.State.LastSeq), nil
}

func (c *Console) readLetters(ctx context.Context, q dlq.Query, o dlq.PageOptions) (*letterPage, error) {
	began := time.Now()
	found, err := c.letters.Page(ctx, q, o)
	if err != nil {
		return nil, err
	}
	page := &letterPage{rows: make([]letterRow, 0, len(found.Letters)), next: found.Next, scanned: found.Scanned, bad: len(found.Unreadable), at: began}
	for _, l := range found.Letters {
		page.rows = append(page.rows, newLetterRow(l))
	}
	return page, nil
}
