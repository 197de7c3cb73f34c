// Package jsapi asks the API of JetStream: the leader of a stream for a message, the account for
// a bucket. It knows which errors pass, which mean that the user has no right, and what to do
// about the others. It knows NATS and no type of package outbox.
package jsapi

import (
	"context"
	"errors"
	"time"
)

// Timeout bounds each request by itself: one that the server refuses is
// never answered and would use up the caller's whole time.
const Timeout = 5 * time.Second

// What package outbox shows under its own names.
var (
	ErrQueueFull  = errors.New("queue full")
	ErrNoStream   = errors.New("no stream takes this subject")
	ErrPermission = errors.New("not permitted by the NATS server")
)

// Sleep reports whether d passed before ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
