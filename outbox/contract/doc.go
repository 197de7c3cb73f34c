// Package contract has the names of the wire contract: subjects, headers, streams, buckets and consumers; what
// a single one may hold, and how one that comes from outside is shown. outbox/CONTRACT.md says what
// they mean, for clients in any language.
//
// An application that publishes and reads replies needs package outbox; it takes from here [Lane] and
// [Prefix]. Everything is safe for concurrent use.
package contract
