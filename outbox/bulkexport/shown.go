package bulkexport

import (
	"fmt"
	"log/slog"

	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// Format, LogValue and MarshalJSON of each type that holds a secret or patient data.

func (c Config) shown() shown.Value {
	return shown.Of("bulkexport.Config", "source", c.Source, "prefix", c.Prefix, "order_secret_set", len(c.OrderSecret) > 0, "allow_hosts", len(c.AllowHosts),
		"parallel", c.Parallel, "wait", c.Wait, "patience", c.Patience, "seals", c.Ring != nil, "require_seal", c.RequireSeal)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret and the request.
func (c Config) Format(f fmt.State, _ rune) { c.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (c Config) LogValue() slog.Value { return c.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (c Config) MarshalJSON() ([]byte, error) { return c.shown().JSON() }

func (r Request) shown() shown.Value {
	return shown.Of("bulkexport.Request", "path_bytes", len(r.Path), "types", len(r.Types), "since", r.Since, "filters", len(r.Filters), "elements", len(r.Elements), "more", len(r.More), "post", r.Post)
}

// Format prints what is no patient data, whatever the verb: not the path, which may name a group, and the filters.
func (r Request) Format(f fmt.State, _ rune) { r.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (r Request) LogValue() slog.Value { return r.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (r Request) MarshalJSON() ([]byte, error) { return r.shown().JSON() }

func (e *Export) shown() shown.Value { return e.config.shown() }

// Format prints what is no secret and no patient data, whatever the verb.
func (e *Export) Format(f fmt.State, _ rune) { e.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (e *Export) LogValue() slog.Value { return e.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (e *Export) MarshalJSON() ([]byte, error) { return e.shown().JSON() }
