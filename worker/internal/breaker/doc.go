// Package breaker is the circuit breaker of a worker: what works at present, what is paused and
// which message may find out whether it works again. It knows sources by their names and what they
// depend on as scopes ("source:clinic-a", "key:main", "host:api.redoxengine.com",
// "group:default"), and nothing of messages or HTTP.
//
// A [Breaker] belongs to one worker. A [Sync] keeps the pauses that are the whole fleet's in step
// with those of the other workers, over one key of the state bucket, and a [Store] is how
// operators read and change them.
package breaker
