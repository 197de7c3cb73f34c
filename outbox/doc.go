// Package outbox is the application's side of redoxworker: what it writes to NATS JetStream, what it gets
// back, and where both are stored.
//
// A message is stored in the work queue REDOX_OUT by a [Publisher], by a gateway (package
// outbox/gateway) on behalf of a plain NATS client, or by anybody who sends the same subject and
// headers. A worker delivers it to Redox, writes a [Reply] to the message's reply subject, and writes a
// dead letter for what could not be delivered: package outbox/dlq browses, replays and discards those.
// Package outbox/topology creates the streams and buckets, and package outbox/contract has the names of
// subjects, headers and streams.
//
// CONTRACT.md beside this file has all of it for clients in any language: subjects, headers,
// streams, order tokens and ids with test vectors, what is refused, and examples.
//
// The package knows NATS and nothing else: no HTTP, no tokens, no worker.
// Bodies, order keys and secrets appear in no error, subject or name made here.
package outbox
