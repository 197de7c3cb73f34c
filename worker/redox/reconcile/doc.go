// Package reconcile follows what Redox took until Redox says how it ended.
//
// That Redox answered 200 to a SEND says that it keeps the message. Whether the destination
// got it shows only in Redox's logs, one for each destination, whose ids are in the answer.
// [Reconciler.Follow] is told of each message that was delivered; its logs are put into the
// stream REDOX_RECONCILE, from which all workers take turns to look them up: first after
// Config.Interval, then each time twice as old, at most an hour apart, until Redox reports
// an end or Config.GiveUp is over. So a restart loses nothing that was stored.
//
// A delivery that failed becomes one [Event] on the subject redox.event.<source>.failed,
// which the stream REDOX_EVENTS keeps for 30 days; a log that never came to an end, one on
// redox.event.<source>.unconfirmed. An event names message and log and holds no patient
// data. It may come twice when a worker dies while it publishes it.
//
// # What cannot be followed
//
// Only an answer that names a log can be followed. Redox names none for FHIR writebacks, as far as
// was ever recorded, and none for files and the Platform API: of these a worker knows no more than
// that Redox took them. They are counted (redoxworker_reconcile_unfollowed_total, by kind), and the
// first of a source and kind is an event, redox.event.<source>.unfollowed-<kind>, once in 30 days
// whatever the number of workers. A data-model SEND without a log is the exception among its kind:
// its answer was cut short, or Redox did not give it.
//
// # What it costs
//
// Follow never waits: when NATS does not keep up, logs are dropped and counted, and a
// process that dies loses those it has not stored yet, some milliseconds' worth. One
// lookup is under way at a time in each process, and they are at least Config.Pace apart;
// when Redox cannot be asked, all pause, doubling to five minutes. With more traffic than
// the pace allows for, logs are looked at later, and each at least once before it is given
// up.
package reconcile
