package outbox

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/shown"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// Format, LogValue and MarshalJSON of each type that holds a secret or patient data; see
// package shown.

// shownKind is one of the kinds of the contract, and nothing else.
func shownKind(k Kind) Kind {
	if k == "" || k.valid() {
		return k
	}
	return "…"
}

func (m Message) shown() shown.Value {
	return shown.Of("outbox.Message", "id", m.ID, "source", m.Source, "lane", m.Lane, "kind", shownKind(m.Kind), "method", contract.SafeName(m.Method), "path_bytes", len(m.Path),
		"order_token", shown.Token(m.OrderToken), "headers", len(m.Header), "deadline", m.Deadline, "replay_of", m.ReplayOf, "replay_count", m.ReplayCount, "position", m.Position, "behind", m.Behind, "possible_duplicate", m.PossibleDuplicate,
		"body_object", m.BodyObject, "sealed", seal.KeyOf(m.Envelope), "body_bytes", max(m.BodySize, int64(len(m.Body))), "sequence", m.Sequence, "stored", m.Stored)
}

// Format prints what is no secret and no patient data, whatever the verb: not the body, path, headers and order key.
func (m Message) Format(f fmt.State, _ rune) { m.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (m Message) LogValue() slog.Value { return m.shown().LogValue() }

// MarshalJSON is what Format prints, as an object, so that a body does not reach a log as
// part of another value. To store a message use Encode and [Decode].
func (m Message) MarshalJSON() ([]byte, error) { return m.shown().JSON() }

// UnmarshalJSON always fails: the output of MarshalJSON has no body.
func (m *Message) UnmarshalJSON([]byte) error {
	return errors.New("outbox: a Message cannot be read from JSON, which never has its body: store what Encode makes and read it with Decode")
}

func (r Reply) shown() shown.Value {
	return shown.Of("outbox.Reply", "id", r.MessageID, "replay_of", r.ReplayOf, "settlement", r.Settlement, "status", r.Status, "attempts", r.Attempts,
		"headers", len(r.Header), "log_ids", r.LogIDs, "error", r.Error, "possible_duplicate", r.PossibleDuplicate, "body_object", r.BodyObject, "sealed", seal.KeyOf(r.Envelope), "body_bytes", len(r.Body))
}

// Format prints what is no secret and no patient data, whatever the verb: not the body.
func (r Reply) Format(f fmt.State, _ rune) { r.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (r Reply) LogValue() slog.Value { return r.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (r Reply) MarshalJSON() ([]byte, error) { return r.shown().JSON() }

func (s Stored) shown() shown.Value {
	return shown.Of("outbox.Stored", "subject", SafeSubject(s.Subject), "sequence", s.Sequence, "time", s.Time, "headers", len(s.Header), "body_bytes", len(s.Body))
}

// Format prints what is no secret and no patient data, whatever the verb: not the headers and body.
func (s Stored) Format(f fmt.State, _ rune) { s.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (s Stored) LogValue() slog.Value { return s.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (s Stored) MarshalJSON() ([]byte, error) { return s.shown().JSON() }

func (a Answer) shown() shown.Value {
	return shown.Of("outbox.Answer", "status", a.Status, "headers", len(a.Header), "log_ids", a.LogIDs, "flag", a.Flag, "hosts", a.Hosts, "body_bytes", len(a.Body))
}

// Format prints what is no secret and no patient data, whatever the verb: not the body.
func (a Answer) Format(f fmt.State, _ rune) { a.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (a Answer) LogValue() slog.Value { return a.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (a Answer) MarshalJSON() ([]byte, error) { return a.shown().JSON() }

func (c PublisherConfig) shown() shown.Value {
	return shown.Of("outbox.PublisherConfig", "prefix", c.Prefix, "order_secret_set", len(c.OrderSecret) > 0, "timeout", c.Timeout, "wait", c.Wait,
		"max_body", c.MaxBody, "claim_check", c.ClaimCheck, "max_claim", c.MaxClaim, "max_share", c.MaxShare, "seals", c.Ring != nil, "require_seal", c.RequireSeal)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (c PublisherConfig) Format(f fmt.State, _ rune) { c.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (c PublisherConfig) LogValue() slog.Value { return c.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (c PublisherConfig) MarshalJSON() ([]byte, error) { return c.shown().JSON() }

func (p Publisher) shown() shown.Value {
	return shown.Of("outbox.Publisher", "prefix", p.config.Prefix, "order_secret_set", len(p.config.OrderSecret) > 0)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (p Publisher) Format(f fmt.State, _ rune) { p.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (p Publisher) LogValue() slog.Value { return p.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (p Publisher) MarshalJSON() ([]byte, error) { return p.shown().JSON() }

func (r *BodyReader) shown() shown.Value {
	return shown.Of("outbox.BodyReader", "size", r.Size())
}

// Format prints what is no secret and no patient data, whatever the verb: not the body.
func (r *BodyReader) Format(f fmt.State, _ rune) { r.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (r *BodyReader) LogValue() slog.Value { return r.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (r *BodyReader) MarshalJSON() ([]byte, error) { return r.shown().JSON() }

func (o Opening) shown() shown.Value {
	return shown.Of("outbox.Opening", "sealed", o.sealed, "size", o.size)
}

// Format prints no key, whatever the verb.
func (o Opening) Format(f fmt.State, _ rune) { o.shown().Print(f) }

// LogValue is what Format prints, as a group.
func (o Opening) LogValue() slog.Value { return o.shown().LogValue() }

// MarshalJSON is what Format prints, as an object.
func (o Opening) MarshalJSON() ([]byte, error) { return o.shown().JSON() }
