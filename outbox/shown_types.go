package outbox

import (
	"errors"
	"fmt"
	"log/slog"
)

// Format, LogValue and MarshalJSON of each type that holds a secret or patient data; see
// shown.go.

// fields that a dead letter may show.
func (d DeadLetter) fields() []any {
	return []any{"id", d.MessageID, "source", d.Source, "settlement", d.Settlement, "error", d.Error, "status", d.Status, "attempts", d.Attempts,
		"at", d.At, "subject", SafeSubject(d.Subject), "sequence", d.Sequence, "behind", d.Behind, "worker", d.Worker, "headers", len(d.Header), "body_bytes", len(d.Body)}
}

// shownToken is an order token, and nothing else.
func shownToken(token string) string {
	if token == "" || isOrderToken(token) {
		return token
	}
	return "…"
}

// shownKind is one of the kinds of the contract, and nothing else.
func shownKind(k Kind) Kind {
	if k == "" || k.valid() {
		return k
	}
	return "…"
}

func (m Message) shown() shown {
	return show("Message", "id", m.ID, "source", m.Source, "lane", m.Lane, "kind", shownKind(m.Kind), "method", SafeName(m.Method), "path_bytes", len(m.Path),
		"order_token", shownToken(m.OrderToken), "deadline", m.Deadline, "replay_of", m.ReplayOf, "replay_count", m.ReplayCount, "position", m.Position, "behind", m.Behind,
		"body_object", m.BodyObject, "body_bytes", max(m.BodySize, int64(len(m.Body))), "sequence", m.Sequence, "stored", m.Stored)
}

// Format prints what is no secret and no patient data, whatever the verb: not the body, path, headers and order key.
func (m Message) Format(f fmt.State, _ rune) { m.shown().format(f) }

// LogValue is what Format prints, as a group.
func (m Message) LogValue() slog.Value { return m.shown().value() }

// MarshalJSON is what Format prints, as an object: a log must not hold a body because a
// Message was part of something. To store a message take Encode and [Decode].
func (m Message) MarshalJSON() ([]byte, error) { return m.shown().json() }

// UnmarshalJSON always fails: what MarshalJSON makes has lost the body.
func (m *Message) UnmarshalJSON([]byte) error {
	return errors.New("outbox: a Message cannot be read from JSON, which never has its body: store what Encode makes and read it with Decode")
}

func (r Reply) shown() shown {
	return show("Reply", "id", r.MessageID, "replay_of", r.ReplayOf, "settlement", r.Settlement, "status", r.Status, "attempts", r.Attempts,
		"log_ids", r.LogIDs, "error", r.Error, "possible_duplicate", r.PossibleDuplicate, "body_object", r.BodyObject, "body_bytes", len(r.Body))
}

// Format prints what is no secret and no patient data, whatever the verb: not the body.
func (r Reply) Format(f fmt.State, _ rune) { r.shown().format(f) }

// LogValue is what Format prints, as a group.
func (r Reply) LogValue() slog.Value { return r.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (r Reply) MarshalJSON() ([]byte, error) { return r.shown().json() }

func (d DeadLetter) shown() shown {
	return show("DeadLetter", d.fields()...)
}

// Format prints what is no secret and no patient data, whatever the verb: not the headers and body.
func (d DeadLetter) Format(f fmt.State, _ rune) { d.shown().format(f) }

// LogValue is what Format prints, as a group.
func (d DeadLetter) LogValue() slog.Value { return d.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (d DeadLetter) MarshalJSON() ([]byte, error) { return d.shown().json() }

func (l StoredDeadLetter) shown() shown {
	return show("StoredDeadLetter", append(l.fields(), "dead_sequence", l.DeadSequence, "stored_at", l.Stored, "size", l.Size,
		"data_model", SafeName(l.DataModel), "event_type", SafeName(l.EventType))...)
}

// Format prints what is no secret and no patient data, whatever the verb: not the headers and body.
func (l StoredDeadLetter) Format(f fmt.State, _ rune) { l.shown().format(f) }

// LogValue is what Format prints, as a group.
func (l StoredDeadLetter) LogValue() slog.Value { return l.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (l StoredDeadLetter) MarshalJSON() ([]byte, error) { return l.shown().json() }

func (s Stored) shown() shown {
	return show("Stored", "subject", SafeSubject(s.Subject), "sequence", s.Sequence, "time", s.Time, "headers", len(s.Header), "body_bytes", len(s.Body))
}

// Format prints what is no secret and no patient data, whatever the verb: not the headers and body.
func (s Stored) Format(f fmt.State, _ rune) { s.shown().format(f) }

// LogValue is what Format prints, as a group.
func (s Stored) LogValue() slog.Value { return s.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (s Stored) MarshalJSON() ([]byte, error) { return s.shown().json() }

func (a Answer) shown() shown {
	return show("Answer", "status", a.Status, "log_ids", a.LogIDs, "flag", a.Flag, "hosts", a.Hosts, "body_bytes", len(a.Body))
}

// Format prints what is no secret and no patient data, whatever the verb: not the body.
func (a Answer) Format(f fmt.State, _ rune) { a.shown().format(f) }

// LogValue is what Format prints, as a group.
func (a Answer) LogValue() slog.Value { return a.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (a Answer) MarshalJSON() ([]byte, error) { return a.shown().json() }

func (c PublisherConfig) shown() shown {
	return show("PublisherConfig", "prefix", c.Prefix, "order_secret_set", len(c.OrderSecret) > 0, "timeout", c.Timeout, "wait", c.Wait,
		"max_body", c.MaxBody, "claim_check", c.ClaimCheck, "max_claim", c.MaxClaim)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (c PublisherConfig) Format(f fmt.State, _ rune) { c.shown().format(f) }

// LogValue is what Format prints, as a group.
func (c PublisherConfig) LogValue() slog.Value { return c.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (c PublisherConfig) MarshalJSON() ([]byte, error) { return c.shown().json() }

func (c GatewayConfig) shown() shown {
	return show("GatewayConfig", "prefix", c.Prefix, "sources", c.Sources, "order_secret_set", len(c.OrderSecret) > 0, "reply_allow", c.ReplyAllow,
		"max_wait", c.MaxWait, "concurrency", c.Concurrency)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (c GatewayConfig) Format(f fmt.State, _ rune) { c.shown().format(f) }

// LogValue is what Format prints, as a group.
func (c GatewayConfig) LogValue() slog.Value { return c.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (c GatewayConfig) MarshalJSON() ([]byte, error) { return c.shown().json() }

func (p Publisher) shown() shown {
	return show("Publisher", "prefix", p.config.Prefix, "order_secret_set", len(p.config.OrderSecret) > 0)
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (p Publisher) Format(f fmt.State, _ rune) { p.shown().format(f) }

// LogValue is what Format prints, as a group.
func (p Publisher) LogValue() slog.Value { return p.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (p Publisher) MarshalJSON() ([]byte, error) { return p.shown().json() }

func (g *Gateway) shown() shown {
	return g.config.shown()
}

// Format prints what is no secret and no patient data, whatever the verb: not the order secret.
func (g *Gateway) Format(f fmt.State, _ rune) { g.shown().format(f) }

// LogValue is what Format prints, as a group.
func (g *Gateway) LogValue() slog.Value { return g.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (g *Gateway) MarshalJSON() ([]byte, error) { return g.shown().json() }

func (r *BodyReader) shown() shown {
	return show("BodyReader", "size", r.Size())
}

// Format prints what is no secret and no patient data, whatever the verb: not the body.
func (r *BodyReader) Format(f fmt.State, _ rune) { r.shown().format(f) }

// LogValue is what Format prints, as a group.
func (r *BodyReader) LogValue() slog.Value { return r.shown().value() }

// MarshalJSON is what Format prints, as an object.
func (r *BodyReader) MarshalJSON() ([]byte, error) { return r.shown().json() }
