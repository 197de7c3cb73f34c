// Package dlq is about what was not delivered: a [Letter] is written by a worker for each such
// message, and a [Store] lists, counts, replays and discards those that the stream of dead letters
// holds. [HeldTokens] says which order tokens wait behind one.
package dlq
