// Package registry keeps sources in NATS, in the key-value bucket REDOX_SOURCES: whoever may
// write it has every worker serve a source within a second, without a restart.
//
// The key of a source is source.<name>, and its value one JSON object of id, key, environment,
// slug_guard, on_unknown and hold, as in a file. It holds no secret: a source names a key, which stands in
// a file of every worker. A change says which state it follows, so that of two at once one is
// refused; so is one whose entry in the audit trail cannot be written. Bucket and audit stream are made by the topology; see package outbox.
package registry
