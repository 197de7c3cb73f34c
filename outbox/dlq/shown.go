package dlq

import (
	"fmt"
	"log/slog"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/shown"
)

// Format, LogValue and MarshalJSON of each type that holds a secret or patient data.

// fields that a dead letter may show.
func (d Letter) fields() []any {
	return []any{"id", d.MessageID, "source", d.Source, "settlement", d.Settlement, "error", d.Error, "status", d.Status, "attempts", d.Attempts,
		"at", d.At, "subject", outbox.SafeSubject(d.Subject), "sequence", d.Sequence, "behind", d.Behind, "worker", d.Worker, "headers", len(d.Header), "body_bytes", len(d.Body)}
}

func (d Letter) shown() shown.Value {
	return shown.Of("dlq.Letter", d.fields()...)
}

// Format prints what is no secret and no patient data, whatever the verb: not the headers and body.
func (d Letter) Format(f fmt.State, _ rune) { d.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (d Letter) LogValue() slog.Value { return d.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (d Letter) MarshalJSON() ([]byte, error) { return d.shown().JSON() }

func (l Stored) shown() shown.Value {
	return shown.Of("dlq.Stored", append(l.fields(), "dead_sequence", l.DeadSequence, "stored_at", l.Stored, "size", l.Size,
		"data_model", contract.SafeName(l.DataModel), "event_type", contract.SafeName(l.EventType))...)
}

// Format prints what is no secret and no patient data, whatever the verb: not the headers and body.
func (l Stored) Format(f fmt.State, _ rune) { l.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (l Stored) LogValue() slog.Value { return l.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (l Stored) MarshalJSON() ([]byte, error) { return l.shown().JSON() }
