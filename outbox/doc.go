// Package outbox is the wire contract of redoxworker: what an application
// writes to NATS JetStream, what it gets back, and the streams both live in.
//
// A message is stored in the work queue REDOX_OUT by a [Publisher], by the
// [Gateway] on behalf of a plain NATS client, or by anybody who sends the same
// subject and headers. A worker delivers it to Redox, writes a [Reply] to the
// message's reply subject, and writes a [DeadLetter] for what could not be
// delivered; [DeadLetters] browses, replays and discards those. [Topology] creates
// the streams and buckets.
//
// The package knows NATS and nothing else: no HTTP, no tokens, no worker.
// Bodies, order keys and secrets appear in no error, subject or name made here.
package outbox
