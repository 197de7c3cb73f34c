package seal

import (
	"fmt"
	"log/slog"

	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// Format, LogValue and MarshalJSON of each type that holds a key or patient data.

func (ks Keys) shown() shown.Value { return shown.Of("seal.Keys", "keys", len(ks.list)) }

// Format prints what is no secret, whatever the verb: not the bytes of the keys.
func (ks Keys) Format(f fmt.State, _ rune) { ks.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (ks Keys) LogValue() slog.Value { return ks.shown().LogValue() }

// MarshalJSON is what Format prints, as an object. To store keys take Encode.
func (ks Keys) MarshalJSON() ([]byte, error) { return ks.shown().JSON() }

func (k key) shown() shown.Value { return shown.Of("seal.key", "id", k.ID) }

// Format prints the id, whatever the verb.
func (k key) Format(f fmt.State, _ rune) { k.shown().Print(f) }

func (r *Ring) shown() shown.Value { return shown.Of("seal.Ring", "file", r.path) }

// Format prints what is no secret, whatever the verb: the path of the file.
func (r *Ring) Format(f fmt.State, _ rune) { r.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (r *Ring) LogValue() slog.Value { return r.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (r *Ring) MarshalJSON() ([]byte, error) { return r.shown().JSON() }

func (k DataKey) shown() shown.Value { return shown.Of("seal.DataKey", "set", k.aead != nil) }

// Format prints no key, whatever the verb.
func (k DataKey) Format(f fmt.State, _ rune) { k.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (k DataKey) LogValue() slog.Value { return k.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (k DataKey) MarshalJSON() ([]byte, error) { return k.shown().JSON() }

func (h Headers) shown() shown.Value {
	return shown.Of("seal.Headers", "headers", len(h.Headers), "size", h.Size, "clear_reply", h.ClearReply)
}

// Format prints what is not of a patient, whatever the verb: how many headers there are.
func (h Headers) Format(f fmt.State, _ rune) { h.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (h Headers) LogValue() slog.Value { return h.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (h Headers) MarshalJSON() ([]byte, error) { return h.shown().JSON() }
