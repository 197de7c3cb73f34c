package gateway

import (
	"fmt"
	"log/slog"

	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// Format, LogValue and MarshalJSON of each type that holds a secret or patient data.

func (c Config) shown() shown.Value {
	return shown.Of("gateway.Config", "prefix", c.Prefix, "sources", c.Sources, "order_secret_set", len(c.OrderSecret) > 0, "reply_allow", c.ReplyAllow,
		"max_wait", c.MaxWait, "concurrency", c.Concurrency, "max_share", c.MaxShare, "seals", c.Ring != nil, "require_seal", c.RequireSeal)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (c Config) Format(f fmt.State, _ rune) { c.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (c Config) LogValue() slog.Value { return c.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (c Config) MarshalJSON() ([]byte, error) { return c.shown().JSON() }

func (g *Gateway) shown() shown.Value {
	return g.config.shown()
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (g *Gateway) Format(f fmt.State, _ rune) { g.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (g *Gateway) LogValue() slog.Value { return g.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (g *Gateway) MarshalJSON() ([]byte, error) { return g.shown().JSON() }
