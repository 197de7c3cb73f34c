// Package streams has the configuration of every stream that publishers and workers share: the
// queue, the dead letters, the replies, the advisories, the buckets and the object store. It asks
// no server; package topology compares and makes them.
package streams
