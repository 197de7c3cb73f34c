package service

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// changing is the state of changes of sources.
type changing struct {
	mu    sync.Mutex // held while sources change, and while the parts that have them are made
	ended bool
	// leaving are sources that are gone, of which messages may be in flight.
	leaving map[string]leaving
	forget  *time.Timer // of those; nil before there are any
}

type leaving struct {
	source      redox.Source
	credentials redox.Credentials
	until       time.Time
}

// SetSources replaces the sources and keys that the service has by those of c, before Run or while
// it runs. It ignores everything else of c. Sources and keys that did not change are not disturbed:
// no connection is closed, no token dropped, no message handed back. A new source is served at
// once. The service takes no more messages of a source that is gone: it delivers those in flight,
// and those stored wait in the queue until the source is served again.
//
// If the service follows files or the registry itself, the next change there replaces what was set
// here.
//
// After an error nothing has changed, with one exception: after [outbox.ErrPermission] the sources
// are served, but the gateway may not take the requests of at least one of them. The key that the
// reconciler uses is fixed. SetSources is safe for concurrent use, and blocks for some seconds at
// most.
func (s *Service) SetSources(c config.Config) error {
	s.changing.mu.Lock()
	defer s.changing.mu.Unlock()
	if s.changing.ended {
		return errors.New("service: SetSources was called after Run returned, or after Close; make another service with New")
	}
	if r := s.config.Reconcile; r.Enabled && !s.keys.Same(&c, r.Key) {
		return config.Mistakef("keys.%s: the reconciler uses it, and it is fixed while the service runs; start the service anew", r.Key)
	}
	next := servedBy(&c)
	for _, name := range next.names() {
		if err := contract.CheckSource(name); err != nil {
			return config.Mistakef("sources.%s: %w", name, err)
		}
	}
	change, err := s.keys.Plan(&c)
	if err != nil {
		return err
	}
	before := s.served.Load()
	was := maps.Clone(s.changing.leaving)
	s.leave(before, next)
	if err := s.tellClient(next, change.Credentials()); err != nil {
		s.changing.leaving = was
		return config.Mistake{Err: err}
	}
	refused, err := s.tellOthers(before, next)
	if err != nil {
		s.changing.leaving = was
		return errors.Join(err, s.tellClient(before, s.keys.Credentials()))
	}
	s.served.Store(next)
	s.log.Info("sources were replaced", "sources", len(next.sources), "before", len(before.sources))
	return errors.Join(change.Apply(), refused)
}

// Reread reads the main file and the files of sources_dir at once and returns when that is done.
// Changes of the files are noticed without it, after a moment. Without Options.Settings it does
// nothing.
func (s *Service) Reread() { s.feed.Reread() }

// leave notes the sources that are gone, for as long as an attempt may take: what the worker has
// in hand of them is delivered. s.changing.mu is held.
func (s *Service) leave(before, next *served) {
	now := time.Now()
	left := make(map[string]leaving)
	for name, l := range s.changing.leaving {
		if _, back := next.sources[name]; !back && now.Before(l.until) {
			left[name] = l
		}
	}
	credentials, patience := s.keys.Credentials(), s.attemptTimeout()
	for name, source := range before.ofRedox() {
		if _, stays := next.sources[name]; !stays {
			left[name] = leaving{source, credentials[source.Key], now.Add(patience)}
		}
	}
	s.changing.leaving = left
	if len(left) > 0 {
		s.changing.stop()
		s.changing.forget = time.AfterFunc(patience, s.forgetLeaving)
	}
}

// forgetLeaving has the client forget what has left, and with it the credentials of keys that
// are gone.
func (s *Service) forgetLeaving() {
	s.changing.mu.Lock()
	defer s.changing.mu.Unlock()
	if s.changing.ended {
		return
	}
	now := s.served.Load()
	s.leave(now, now)
	if err := s.tellClient(now, s.keys.Credentials()); err != nil { // what it was told before
		s.log.Error("sources that are gone were not forgotten", "error", err)
	}
}

func (c *changing) stop() {
	if c.forget != nil {
		c.forget.Stop()
	}
}

// tellClient has the client know the sources that are served and those that leave.
// s.changing.mu is held.
func (s *Service) tellClient(of *served, credentials map[string]redox.Credentials) error {
	sources := of.ofRedox()
	for name, l := range s.changing.leaving {
		if _, back := sources[name]; back {
			continue
		}
		key := l.source.Key
		if credentials[key] != l.credentials { // another key of that name, or none
			key = fmt.Sprintf("%s (of %s, which is gone)", key, name)
			credentials[key], l.source.Key = l.credentials, key
		}
		sources[name] = l.source
	}
	return s.client.SetSources(sources, credentials)
}

// tellOthers has worker and gateway serve the sources, where they are. s.changing.mu is held.
func (s *Service) tellOthers(before, next *served) (refused, err error) {
	w := s.worker.Load()
	if w == nil {
		return nil, nil // they will be made with them
	}
	pull := func() error { return w.SetSources(next.ofWorker(s.client)) }
	if gateway := s.gateway.Load(); gateway != nil {
		return takeTurns(pull, gateway.SetSources, before, next)
	}
	return takeTurns(pull, func([]string) error { return nil }, before, next)
}

// takeTurns has the gateway take nothing of what goes before the worker stops pulling it, and what
// comes after the worker pulls it. Where the worker refuses, the gateway is as it was; refused is
// what the gateway may not serve.
func takeTurns(pull func() error, serve func([]string) error, before, next *served) (refused, err error) {
	stays := slices.DeleteFunc(before.names(), func(name string) bool { _, ok := next.sources[name]; return !ok })
	if len(stays) < len(before.sources) {
		_ = serve(stays) // what it may not serve of those it says below
	}
	if err := pull(); err != nil {
		_ = serve(before.names())
		return nil, fmt.Errorf("service: %w", err)
	}
	return serve(next.names()), nil
}
