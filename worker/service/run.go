package service

import (
	"context"
	"errors"
	"net"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
	"github.com/redoxworker/redoxworker/worker/service/httpserve"
)

// Run delivers until ctx ends, then drains as worker.drain_timeout says and returns when everything
// that it started has ended. It stops in the reverse of the order in which it starts. Call it once.
// It returns nil after ctx has ended, and an error if it cannot go on: a listener or credentials do
// not work, or the queue does not fit the configuration. It does not end because NATS or Redox is
// down.
func (s *Service) Run(ctx context.Context) error {
	if s.started.Swap(true) {
		return errors.New("service: Run was called twice, or after Close; make another service with New")
	}
	defer s.Close()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	background, failed := errgroup.WithContext(serving)
	working, stopWorking := context.WithCancelCause(ctx)
	defer stopWorking(nil)
	context.AfterFunc(failed, func() { stopWorking(context.Cause(failed)) })

	// The pages come first and go last: what waits for NATS, or drains, says so there. Tokens
	// are kept until the worker has drained: attempts in flight may still need one.
	listener, err := s.listen()
	if err != nil {
		return err
	}
	if listener != nil {
		background.Go(func() error { return httpserve.Serve(failed, listener, s.pages, s.log) })
	}
	background.Go(func() error { return s.link.Watch(failed) })
	background.Go(func() error { return s.keys.Run(failed, s.connected) })
	background.Go(func() error { return s.transport.Run(failed, s.log) })

	err = s.deliver(working)
	if working.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // stopped while still waiting for NATS
	}
	stopServing()
	return errors.Join(err, background.Wait())
}

// deliver connects, and runs what works on messages until ctx ends. What is deferred here ends
// in the reverse order: worker, gateway and upkeep together, then the reconciler, which follows
// what the worker settled last, then the quota, which gets back what is left of it after the
// last attempt, then the connection.
func (s *Service) deliver(ctx context.Context) error {
	conn, js, closeConn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer closeConn()
	s.conn.Store(conn)
	s.uploads.connect(js, s.config)
	if err := s.prepareQueue(ctx, js); err != nil {
		return err
	}
	defer s.govern(ctx, js)()
	if s.feed.Needed() {
		s.feed.First(ctx, js)
	}
	close(s.connected) // tokens may be asked for: their requests are counted
	follow, stopFollowing, err := s.reconcile(ctx, js)
	if err != nil {
		return err
	}
	defer stopFollowing()
	w, gateway, err := s.newConsumers(conn, js, follow)
	if err != nil {
		return err
	}
	relay, err := s.newRelay(js)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	defer s.announce(ctx, conn, w)()
	group.Go(func() error { return w.Run(ctx) })
	group.Go(func() error { s.feed.Run(ctx, js); return nil })
	group.Go(func() error { s.collect(ctx, js); return nil })
	group.Go(func() error { s.lookAfter(ctx, js); return nil })
	if relay != nil {
		group.Go(func() error { return relay.Run(ctx) })
	}
	if gateway != nil {
		group.Go(func() error { s.runGateway(ctx, gateway); return nil })
	}
	return group.Wait()
}

// connect answers the connection of the program, or one by the configuration.
func (s *Service) connect(ctx context.Context) (_ *nats.Conn, _ jetstream.JetStream, closeConn func(), err error) {
	if conn := s.options.NATS; conn != nil {
		js, err := s.link.Follow(ctx, conn)
		return conn, js, func() {}, err
	}
	conn, js, err := s.link.Connect(ctx, s.config)
	if err != nil {
		return nil, nil, nil, err
	}
	return conn, js, conn.Close, nil
}

// listen opens the listener for operators; nil when there is to be none.
func (s *Service) listen() (net.Listener, error) {
	if s.config.Admin.Listen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", s.config.Admin.Listen)
	if err != nil {
		return nil, config.Mistakef("admin.listen: %w; choose another address, or off for none", err)
	}
	s.log.Info("admin listener", "address", listener.Addr().String())
	if err := access.Distinct(s.keys.Public()); err != nil {
		s.log.Warn("the set of all public keys lacks one; that of each key alone is complete", "set", PathJWKS, "of_a_key", pathJWKSOfKey+"NAME", "reason", err)
	}
	return listener, nil
}
