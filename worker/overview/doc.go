// Package overview says what is going on: what waits in the queue and why, heads of orders, pauses,
// the quota and its pace, keys, workers, dead letters, the SQL outbox, and when all that will be
// sent. It is one model for the command's status, a console and programs that embed a worker; what
// streams hold is counted in the same place for the metrics of workers, from looks that these make
// anyway.
//
// A [Gatherer] asks NATS for what is stored and what all workers share, and every worker that runs
// for what only it knows. Workers answer as the NATS micro service "redox-worker", which [Announce]
// starts: `nats micro ls` finds them. What a Gatherer shows is right for the whole queue, whatever
// sources the configuration at hand names. What could not be learnt is in [Overview.Unknown]; it is
// never taken for nothing.
//
// It holds no body, no header of a message and no order key: sources, message ids, order tokens,
// and texts that are safe to show.
//
// # What it costs
//
// A Gatherer makes one request for the queue's subjects, two or three for each of the first
// [Config.Backlogs] backlogs, three for each head, one for each stream and bucket, one for the subjects of
// the dead letters, when these have changed, and one that all workers answer. Only where the queue
// has more than [Config.Subjects] subjects are all consumers listed, 256 a request. The server counts
// subjects under the lock of their stream: look no more often than [Gatherer.Pause] says.
package overview
