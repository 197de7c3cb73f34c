package sqloutbox

import (
	"fmt"
	"log/slog"

	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

func (c Config) shown() shown.Value {
	return shown.Of("sqloutbox.Config", "prefix", string(c.Prefix), "table", c.Table, "order_secret_set", len(c.OrderSecret) > 0, "max_body", c.MaxBody,
		"no_key_lock", c.NoKeyLock, "notify", c.Notify, "seals", c.Ring != nil, "require_seal", c.RequireSeal)
}

// Format prints all but the order secret, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { c.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (c Config) LogValue() slog.Value { return c.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (c Config) MarshalJSON() ([]byte, error) { return c.shown().JSON() }

func (o *Outbox) shown() shown.Value {
	return shown.Of("sqloutbox.Outbox", "dialect", string(o.dialect), "table", o.table)
}

// Format prints the kind of the database and the name of the table, whatever the verb.
func (o *Outbox) Format(f fmt.State, _ rune) { o.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (o *Outbox) LogValue() slog.Value { return o.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (o *Outbox) MarshalJSON() ([]byte, error) { return o.shown().JSON() }
