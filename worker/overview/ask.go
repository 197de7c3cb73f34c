package overview

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// quiet ends the wait for answers of workers, when nobody else has answered for so long.
	quiet = 150 * time.Millisecond
	// mostWorkers bounds the answers.
	mostWorkers = 4096
)

// askWorkers asks all workers for their state. It waits until none has answered for a while, and
// longer for as many as expected says there are, once it has.
func (g *Gatherer) askWorkers(ctx context.Context, expected <-chan int) ([]Worker, error) {
	conn := g.js.Conn()
	inbox, answers := conn.NewInbox(), make(chan *nats.Msg, mostWorkers)
	sub, err := conn.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := conn.PublishRequest(g.config.Prefix.WorkersSubject(), inbox, nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.config.Wait)
	defer cancel()
	found := map[string]Worker{}
	least, still, enough := 0, (<-chan time.Time)(nil), false
	for !enough {
		select {
		case msg := <-answers:
			if msg.Header.Get("Status") != "" {
				return nil, nil // nobody listens
			}
			var w Worker
			if err := json.Unmarshal(msg.Data, &w); err == nil && w.Instance != "" {
				found[w.Instance] = w
			}
			still = time.After(quiet)
		case n := <-expected:
			least, expected = n, nil
			if still == nil && len(found) > 0 {
				still = time.After(quiet)
			}
		case <-still:
			still = nil
			enough = expected == nil && len(found) >= least
		case <-ctx.Done():
			enough = true
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("none answered within %s: %w", g.config.Wait, context.DeadlineExceeded)
	}
	return sortedWorkers(found), nil
}

func sortedWorkers(found map[string]Worker) []Worker {
	workers := make([]Worker, 0, len(found))
	for _, w := range found {
		workers = append(workers, w)
	}
	slices.SortFunc(workers, func(a, b Worker) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Instance, b.Instance))
	})
	return workers
}

// askServed asks one worker of each kind what it serves, and remembers it.
func (g *Gatherer) askServed(ctx context.Context, workers []Worker) (map[string]map[string][]string, error) {
	g.mu.Lock()
	before := g.served
	g.mu.Unlock()
	var errs []error
	served := map[string]map[string][]string{}
	for _, w := range workers {
		if served[w.SourcesDigest] != nil {
			continue
		}
		if known := before[w.SourcesDigest]; known != nil {
			served[w.SourcesDigest] = known
			continue
		}
		scopes, err := g.servedBy(ctx, w)
		if err != nil {
			errs = append(errs, fmt.Errorf("what worker %s serves: %w", w.ID, err))
			continue
		}
		served[w.SourcesDigest] = scopes
	}
	g.mu.Lock()
	g.served = served
	g.mu.Unlock()
	return served, errors.Join(errs...)
}

func (g *Gatherer) servedBy(ctx context.Context, w Worker) (map[string][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, g.config.Timeout)
	defer cancel()
	scopes := map[string][]string{}
	for more, from := true, 0; more; {
		msg, err := g.js.Conn().RequestWithContext(ctx, g.config.Prefix.ServedSubject(w.Instance), []byte(`{"from":`+strconv.Itoa(from)+`}`))
		if err != nil {
			return nil, err
		}
		var page serving
		if err := json.Unmarshal(msg.Data, &page); err != nil {
			return nil, fmt.Errorf("its answer cannot be read: %w", err)
		}
		page.into(scopes)
		from += len(page.Names)
		more = page.More && len(page.Names) > 0
	}
	return scopes, nil
}

// Served are the sources that workers serve which answered and take messages. An error says that it is not
// known of all, that one with a lease of a quota did not answer, or that none did: then nobody can tell
// what is served.
func (g *Gatherer) Served(ctx context.Context) (map[string]bool, error) {
	workers, silent, err := g.Workers(ctx)
	if err != nil {
		return nil, err
	}
	if silent > 0 {
		return nil, fmt.Errorf("%s with a lease of the quota did not answer", counted(uint64(silent), "worker"))
	}
	workers = slices.DeleteFunc(workers, func(w Worker) bool { return w.Draining })
	if len(workers) == 0 {
		return nil, errors.New("no worker runs")
	}
	byDigest, err := g.askServed(ctx, workers)
	if err != nil {
		return nil, err
	}
	served := map[string]bool{}
	for _, sources := range byDigest {
		for name := range sources {
			served[name] = true
		}
	}
	return served, nil
}
