// Package breaker is the circuit breaker of a worker: what works at present, what is paused and
// which message may find out whether it works again. It knows sources by their names and what they
// depend on as scopes ("dest:clinic-a:big-clinic", "source:clinic-a", "key:main",
// "host:api.redoxengine.com", "group:default"), and nothing of messages or HTTP.
//
// What a message met pauses the narrowest scope that explains it. Trouble of the far side counts
// for the message's destination and source, and for the host only where more than one source and
// destination met it with no success between. A token that is refused is the source's trouble
// where its key works for others, else the key's. The same refusal again and again is the source's.
//
// A [Breaker] belongs to one worker. A [Sync] keeps the pauses that are the whole fleet's in step
// with those of the other workers, over one key of the state bucket, and a [Store] is how
// operators read and change them. Pauses of keys are a worker's own: it has tokens of its own.
// Those of sources and destinations are shared so that one worker probes for all and operators see
// them, up to a number; beyond it each worker probes for itself, and the key stays small. What operators
// pause is a source, a destination of one or of all sources, or all.
package breaker
