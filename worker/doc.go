// Package worker consumes Redox messages from NATS JetStream and sees each of them
// through to exactly one settlement.
//
// A message travels one way:
//
//	admit (pauses → limit → slot) → pull → head of its order? → attempt (Deliverer) → verdict → settle
//
// Nothing is pulled that could not be sent at once. Pauses of hosts and egress groups, and
// those by operators, are shared by all workers through the state bucket; see [Pauses].
//
// A source with messages has a durable consumer for its SENDs and one for its REQUESTs, each
// made by the first worker that needs it. The server announces each stored message, and each
// worker also looks at the queue now and then. A puller pulls from one consumer while there
// is something. The server removes a consumer that nobody uses: an idle source costs
// nothing.
//
// An ordered message goes only while it is the first of its subject, which names its order
// token, in the stream. While a worker has the head, its followers are kept in hand, or handed
// back until about their turn; the worker that settles the head has the next one delivered at
// once. So a message that fails holds up its own token only, and which worker has it makes no
// difference.
//
// The [Deliverer] is the worker's only view of the far side; it answers with an [outbox.Answer]
// and an error that says what to do (see [Failure], and [Permanent] and the other verbs). One
// pure function decides what follows, and settle*.go carries it out, always in this order: dead
// letter, confirmed; reply; double ack, repeated until the server confirms it. A crash at any
// point repeats a step and never skips one. Messages that no worker has in hand are settled
// there, too: those that somebody removed from the queue, and those that the server stopped
// delivering.
//
// DESIGN.md beside this file has all of it: guarantees, the states of a delivery, the tables of
// classification, what is kept where, and the vocabulary.
//
// Delivery is at least once. A worker holds no state of its own: start more processes
// to scale out, kill any of them to scale in.
package worker
