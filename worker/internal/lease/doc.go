// Package lease keeps the messages that were delivered to a worker: it renews their ack waits
// with in-progress marks, cancels the attempts of those that it could not renew in time, and
// notices what makes a lease doubtful: a process that was suspended, and another NATS server
// that may have forgotten whom it gave a message.
package lease
