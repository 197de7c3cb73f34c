package main

import (
	"context"
	"net/http"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// openGovernor makes the keeper of the quota, where one is configured.
func (w *wiring) openGovernor() (err error) {
	q := w.config.Quota
	if q.Scope == config.ScopeNone {
		return nil
	}
	w.governor, err = quota.New(quota.Config{
		Requests: q.Requests, Per: q.Per, Group: q.Group, Reserve: q.ReserveRequests,
		Prefix: outbox.Prefix(w.config.NATS.Prefix), Logger: w.log, Registerer: w.registerer,
	})
	return err
}

// tokenTransport counts the requests for tokens in the quota.
func (w wiring) tokenTransport(base http.RoundTripper) http.RoundTripper {
	if w.governor == nil {
		return base
	}
	return w.governor.Transport(base)
}

// grant counts what an attempt requests besides the one request that it was granted: the
// repeat with a new token, and uploads.
func (w wiring) grant() func(context.Context) (func(sent bool), error) {
	if w.governor == nil {
		return nil
	}
	return func(ctx context.Context) (func(sent bool), error) {
		if worker.Granted(ctx) {
			return nil, nil
		}
		return w.governor.Extra(ctx)
	}
}

// lookupGrant counts lookups that nobody waits for: they take turns with the sources'
// SENDs, behind every REQUEST.
func (w wiring) lookupGrant() func(context.Context) (func(sent bool), error) {
	if w.governor == nil {
		return nil
	}
	return func(ctx context.Context) (func(sent bool), error) {
		return w.governor.Acquire(ctx, "", outbox.LaneSend)
	}
}

// govern keeps the quota until the returned function is called, which waits until what is
// left was given back.
func (w wiring) govern(ctx context.Context, js jetstream.JetStream) (stop func()) {
	if w.governor == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if w.config.Quota.Scope == config.ScopeProcess {
			w.governor.RunAlone(ctx)
			return
		}
		w.governor.Run(ctx, js)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// hostScopes names the host of the messages that do not go to the API's.
func hostScopes(client *redox.Client) func(outbox.Message) []string {
	api := client.HostScope(outbox.Message{})
	return func(m outbox.Message) []string {
		if host := client.HostScope(m); host != api {
			return []string{host}
		}
		return nil
	}
}
