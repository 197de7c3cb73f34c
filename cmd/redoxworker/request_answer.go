package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
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
	// Headers of the answer: Location and what else tells more than the body.
	Headers map[string]string `json:"headers,omitempty"`
	ReplyTo string            `json:"reply_to,omitempty"`
	// One of the three: JSON as it is, other text, other bytes in base64.
	Body       json.RawMessage `json:"body,omitempty"`
	BodyText   string          `json:"body_text,omitempty"`
	BodyBase64 []byte          `json:"body_base64,omitempty"`
}

// printReply prints the reply's body, byte for byte, on stdout and what became of the
// message on stderr; with --json all of it on stdout. A message that was not delivered, or
// whose answer reports an error, is a failure.
func printReply(a *cli.App, r outbox.Reply, replyTo string) error {
	if a.Globals.JSON {
		if err := printAnswer(a, r, replyTo); err != nil {
			return err
		}
	} else {
		body, refused := shownOn(cli.IsTerminal(a.Stdout), r.Body)
		if _, err := a.Stdout.Write(body); err != nil {
			return err
		}
		fmt.Fprintln(a.Stderr, settlementText(r, replyTo))
		if refused != nil {
			return refused
		}
	}
	if !r.OK() {
		return cli.ErrReported
	}
	return nil
}

// shownOn is what is printed of a body: all of it, byte for byte, and on a terminal a line end
// for the eye. Bytes that are no text are refused there, as they could change the terminal.
func shownOn(terminal bool, body []byte) ([]byte, error) {
	switch {
	case !terminal || len(body) == 0:
		return body, nil
	case !utf8.Valid(body) || bytes.ContainsFunc(body, commands):
		return nil, fmt.Errorf("the answer is %d bytes that are no plain text, which could harm the terminal; write them to a file, with > FILE or what request has for it, --out", len(body))
	}
	return append(body[:len(body):len(body)], '\n'), nil
}

// commands reports whether a character is one that a terminal obeys instead of showing it: also of
// those above ASCII, where U+009B begins what ESC [ does.
func commands(r rune) bool {
	return unicode.IsControl(r) && !strings.ContainsRune("\t\n\v\f\r\u0085", r)
}

func printAnswer(a *cli.App, r outbox.Reply, replyTo string) error {
	out := answer{
		ID: r.MessageID, ReplayOf: r.ReplayOf, Settlement: r.Settlement, OK: r.OK(), Status: r.Status, Attempts: r.Attempts,
		LogIDs: r.LogIDs, Error: r.Error, ContentType: r.ContentType, ReplyTo: replyTo,
	}
	for _, name := range contract.AnswerHeaders() {
		if value := r.Header.Get(name); value != "" {
			if out.Headers == nil {
				out.Headers = make(map[string]string)
			}
			out.Headers[name] = value
		}
	}
	switch {
	case json.Valid(r.Body):
		out.Body = r.Body
	case utf8.Valid(r.Body):
		out.BodyText = string(r.Body)
	default:
		out.BodyBase64 = r.Body
	}
	encoder := json.NewEncoder(a.Stdout)
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
	parts = append(parts, cli.Counted(r.Attempts, "attempt"))
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
