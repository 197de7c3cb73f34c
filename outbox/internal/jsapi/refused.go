package jsapi

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Refused reports whether the last error of the connection is that it may not
// publish to subject. A reconnect forgets it.
func Refused(conn *nats.Conn, subject string) bool {
	return Violates(conn, "Publish to "+strconv.Quote(subject))
}

// RefusedSubscription is the same for a subscription.
func RefusedSubscription(conn *nats.Conn, subject string) bool {
	return Violates(conn, "Subscription to "+strconv.Quote(subject))
}

// RefusedInbox is the same for the inboxes of the connection.
func RefusedInbox(conn *nats.Conn) bool {
	inbox := conn.NewInbox() // prefix and a unique token
	return Violates(conn, `Subscription to "`+inbox[:strings.LastIndexByte(inbox, '.')+1])
}

// Violates reports whether the last error of the connection is that it has no right, and says
// so of what.
func Violates(conn *nats.Conn, what string) bool {
	err := conn.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), what)
}

// refusedPoll is how often a refusal is looked for while a question is open.
const refusedPoll = 20 * time.Millisecond

// UntilRefused calls ask, which publishes to subject, and ends its context as soon as the server refuses
// that: it answers no such question. Where the last error of the connection is that refusal already, it
// does not call it.
func UntilRefused(ctx context.Context, conn *nats.Conn, subject string, ask func(context.Context)) {
	if Refused(conn, subject) {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		for Sleep(ctx, refusedPoll) {
			if Refused(conn, subject) {
				cancel()
				return
			}
		}
	})
	ask(ctx)
}
