// Package publish stores a message in the work queue for certain: it repeats the write under the
// same id until an answer comes, as long as the queue surely remembers that id, and says of every
// other end whether the message may be stored.
package publish

import (
	"context"
	"time"
)

const (
	// Timeout bounds a write whose context has no deadline.
	Timeout = 30 * time.Second
	// MaxPayloadName is where the server's limit comes from, as an error shows it.
	MaxPayloadName = "max_payload of the NATS server"
)

// TimeoutError says whose timeout it was.
type TimeoutError time.Duration

// Error shows the timeout.
func (t TimeoutError) Error() string {
	return "timed out after " + time.Duration(t).String() + ", the default where the context has no deadline"
}

// Unwrap returns [context.DeadlineExceeded].
func (t TimeoutError) Unwrap() error { return context.DeadlineExceeded }
