// Package natsdev runs a NATS server with JetStream inside the process, for the
// demo and for tests. It is the real server with file storage, so that what
// passes here passes on a server of the same version.
//
// It is no way to run production: one server, no replicas, no lame-duck mode.
// Library packages never link it.
package natsdev
