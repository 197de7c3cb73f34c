// Package service runs everything that a configuration asks for in the program that embeds it: the
// worker with its sources, keys and hold policies, Redox's quota, the request gateway, the pages
// for operators, the audit trail, the reconciler, and the upkeep of streams and bodies. The command
// `redoxworker run` is this package and a logger.
//
//	c, err := config.Load(config.Options{File: "redoxworker.yaml", Environ: os.Environ()})
//	s, err := service.New(*c, service.Options{Logger: logger})
//	err = s.Run(ctx) // until ctx ends, then drains
//
// # Start and stop
//
// [New] builds what needs no connection, so that a mistake in the settings shows before anything
// runs. [Service.Run] then starts, and after its context has ended stops in the reverse order:
//
//  1. the pages for operators, so that a service that waits for NATS or drains can say so
//  2. what follows files and the connection: key and secret files, the client certificate
//  3. NATS: the connection of the program, or one by the configuration, waited for as long as it takes
//  4. streams and buckets (nats.provision: auto)
//  5. the quota, then the tokens of all keys, whose requests count in it
//  6. the reconciler (reconcile.enabled)
//  7. worker, gateway (gateway.enabled), removal of bodies that nothing names, upkeep of streams
//
// The worker and the gateway take nothing new first; requests in flight have worker.drain_timeout.
// What is left of the quota is given back after the last of them, and tokens last as long as they
// may be needed.
//
// # Sources at run time
//
// [Service.SetSources] replaces sources and keys while the service runs, by a difference: what did
// not change notices nothing, what comes is served at once, what goes drains.
//
// # What is optional
//
// All of [Options]: a logger, a registry for metrics, traces, a connection of one's own, something
// between worker and Redox, an observer of events. Set admin.listen to off (Admin.Listen to "")
// and mount [Service.Handler] on a server of one's own, if any. Two services in one process are
// fine, on one registry with an [Options.Name] each: they share nothing else. A quota of scope
// process is that of each service.
package service
