// Package worker consumes Redox messages from NATS JetStream and sees each of them
// through to exactly one settlement.
//
// A message travels one way:
//
//	lane (pull) → admit (pauses) → grant (limit) → slot (concurrency) → attempt (Deliverer) → verdict → settle
//
// While the [Limiter] grants little, the order is another: grant, slot, pull. Pauses of
// hosts and egress groups, and those by operators, are shared by all workers through the
// state bucket; see [Pauses].
//
// A lane is one durable consumer: `send` and `request` of a source, and one per
// partition for ordered traffic. The [Deliverer] is the worker's only view of the far
// side; it answers with an [outbox.Answer] and an error that says what to do (see
// [Failure], and [Permanent] and the other verbs). What follows from that is decided in
// one pure function and carried out in one file, settle.go, always in this order: dead
// letter, confirmed; reply; double ack, repeated until the server confirms it. A crash at
// any point repeats a step and never skips one. Only two things happen elsewhere, both to
// messages that no worker has in hand: [Lanes] hands back the head that an operator holds or
// releases, and the sweeper writes the dead letter of a message that somebody removed from
// the queue.
//
// Delivery is at least once. A worker holds no state of its own: start more processes
// to scale out, kill any of them to scale in.
package worker
