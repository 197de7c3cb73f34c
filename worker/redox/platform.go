package redox

import (
	"context"

	"github.com/redoxworker/redoxworker/outbox"
)

// platform makes the request of a message to the Platform API. It acts for a user, not for
// a source, so that no Redox-Source-Id goes with it.
func (c *Client) platform(ctx context.Context, out *call, m *outbox.Message) *Error {
	return c.routed(ctx, out, m, c.targets.platform, jsonOnly)
}
