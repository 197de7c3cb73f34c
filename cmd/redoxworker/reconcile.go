package main

import (
	"context"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
)

// reconcileShare is the part of Redox's quota that the reconciler of one process uses at
// most: one request in so many.
const reconcileShare = 20

// openLogs readies the lookups of the reconciler, where it is switched on.
func (w *wiring) openLogs(transport http.RoundTripper, keys map[string]*credentials) error {
	if !w.config.Reconcile.Enabled {
		return nil
	}
	logs, err := w.platformLogs(transport, w.config.Reconcile.Key, keys[w.config.Reconcile.Key])
	w.logs = &logs
	return err
}

// reconcile starts the reconciler and answers the wiring of a worker that tells it what
// was delivered. stop ends it, and waits for that: call it when the worker has stopped.
func (w wiring) reconcile(ctx context.Context, js jetstream.JetStream) (told wiring, stop func(), err error) {
	if w.logs == nil {
		return w, func() {}, nil
	}
	r, err := reconcile.New(js, w.logs.Look, reconcile.Config{
		Prefix: outbox.Prefix(w.config.NATS.Prefix), Interval: w.config.Reconcile.Interval, GiveUp: w.config.Reconcile.GiveUp,
		Pace: w.config.Quota.Per / time.Duration(w.config.Quota.Requests) * reconcileShare, Logger: w.log, Registerer: w.registerer,
	})
	if err != nil {
		return w, nil, err
	}
	before := w.observe
	w.observe = func(e worker.Event) {
		if before != nil {
			before(e)
		}
		if followed(e) {
			r.Follow(reconcile.Delivered{Source: e.Source, Message: e.MessageID, Sequence: e.Sequence, LogIDs: e.LogIDs})
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	return w, func() {
		cancel()
		<-ended
	}, nil
}

// followed reports whether Redox has taken a message and is to deliver it later: a REQUEST
// was answered already.
func followed(e worker.Event) bool {
	return e.Kind == worker.EventSettled && e.Settlement == outbox.Delivered && e.Lane != outbox.LaneRequest
}

// reconcileAge is how long logs may be followed; 0 when none is.
func reconcileAge(c *config.Config) time.Duration {
	if !c.Reconcile.Enabled {
		return 0
	}
	return c.Reconcile.GiveUp
}
