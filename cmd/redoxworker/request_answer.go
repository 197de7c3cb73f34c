package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/outbox"
)

// answer is a reply as --json prints it.
type answer struct {
	ID          string            `json:"id"`
	ReplayOf    string            `json:"replay_of,omitempty"`
	Settlement  outbox.Settlement `json:"settlement"`
	OK          bool              `json:"ok"`
	Status      int               `json:"status,omitempty"`
	Attempts    int               `json:"attempts"`
	LogIDs      []string          `json:"log_ids,omitempty"`
	Error       string            `json:"error,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	ReplyTo     string            `json:"reply_to,omitempty"`
	// One of the three: JSON as it is, other text, other bytes in base64.
	Body       json.RawMessage `json:"body,omitempty"`
	BodyText   string          `json:"body_text,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

// printReply prints the reply's body, byte for byte, on stdout and what became of the
// message on stderr; with --json all of it on stdout. A message that was not delivered, or
// whose answer reports an error, is a failure.
func (a *app) printReply(r outbox.Reply, replyTo string) error {
	if a.globals.JSON {
		if err := a.printAnswer(r, replyTo); err != nil {
			return err
		}
	} else {
		if _, err := a.stdout.Write(r.Body); err != nil {
			return err
		}
		if len(r.Body) > 0 && isTerminal(a.stdout) { // for the eye alone: elsewhere not a byte is added
			a.printf("\n")
		}
		fmt.Fprintln(a.stderr, settlementText(r, replyTo))
	}
	if !r.OK() {
		return errReported
	}
	return nil
}

func (a *app) printAnswer(r outbox.Reply, replyTo string) error {
	out := answer{
		ID: r.MessageID, ReplayOf: r.ReplayOf, Settlement: r.Settlement, OK: r.OK(), Status: r.Status, Attempts: r.Attempts,
		LogIDs: r.LogIDs, Error: r.Error, ContentType: r.ContentType, ReplyTo: replyTo,
	}
	switch {
	case json.Valid(r.Body):
		out.Body = r.Body
	case utf8.Valid(r.Body):
		out.BodyText = string(r.Body)
	default:
		out.BodyBase64 = r.Body
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(out)
}

// settlementText is one line about a reply.
func settlementText(r outbox.Reply, replyTo string) string {
	parts := []string{fmt.Sprintf("%s: %s", r.MessageID, r.Settlement)}
	if r.ReplayOf != "" {
		parts = append(parts, "replay of "+r.ReplayOf)
	}
	if r.Status != 0 {
		parts = append(parts, fmt.Sprintf("status %d", r.Status))
	}
	parts = append(parts, counted(r.Attempts, "attempt"))
	if len(r.LogIDs) > 0 {
		parts = append(parts, "log ids "+strings.Join(r.LogIDs, " "))
	}
	if replyTo != "" {
		parts = append(parts, "kept at "+replyTo)
	}
	line := strings.Join(parts, ", ")
	if r.Error != "" {
		line += ": " + r.Error
	}
	return line
}

// counted is a number with its noun.
func counted[N int | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
