package redox

import (
	"context"

	"github.com/redoxworker/redoxworker/outbox"
)

// deliverPlatform sends a message to the Platform API. It acts for a user, not for a
// source, so that no Redox-Source-Id goes with it.
func (c *Client) deliverPlatform(ctx context.Context, s *sender, m *outbox.Message, hosts *asked) (outbox.Answer, *Error) {
	return c.deliverRouted(ctx, call{sender: s, asked: hosts}, m, c.targets.platform, jsonOnly)
}
