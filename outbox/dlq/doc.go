// Package dlq deals with messages that were not delivered. A worker writes a [Letter] for each. A
// [Store] lists, counts, replays and discards those that the stream of dead letters holds.
// [HeldTokens] says which order tokens wait behind one.
package dlq
